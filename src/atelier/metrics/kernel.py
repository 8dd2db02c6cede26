"""Kernel distance between two sets of feature vectors (Bińkowski et al. 2018, KID).

Shapes: a set is (n, d), one row per picture. Unlike the Fréchet distance it is unbiased: its
expectation does not depend on n, so it can be a little below zero for equal sets.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from atelier.config import UserError

SUBSETS = 100
LARGEST = 1000
"""Pictures per subset at most, as published."""


def kernel_distance(reference: Tensor, generated: Tensor, *, seed: int = 0) -> dict[str, float]:
    """Mean and spread of the unbiased squared MMD over ``SUBSETS`` random subsets.

    Returns:
        ``kid``, ``kid_sd`` (over the subsets, which overlap: no confidence interval), and
        ``kid_subset``, the pictures drawn from each set, without replacement.

    Raises:
        UserError: fewer than two pictures in a set.
    """
    size = min(LARGEST, len(reference), len(generated))
    if size < 2:
        raise UserError(f"a kernel distance needs at least 2 pictures in each set, not {size}")
    draw = Generator().manual_seed(seed)
    a, b = reference.double(), generated.double()
    found = torch.stack(
        [
            mmd(
                a[torch.randperm(len(a), generator=draw)[:size]],
                b[torch.randperm(len(b), generator=draw)[:size]],
            )
            for _ in range(SUBSETS)
        ]
    )
    spread = found.std(correction=0).item()
    return {"kid": found.mean().item(), "kid_sd": spread, "kid_subset": float(size)}


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy of (m, d) and (m, d), kernel (x·y/d + 1)³."""
    m = len(x)
    own = sum(kernel(z, z).sum() - kernel(z, z).diagonal().sum() for z in (x, y))
    return torch.as_tensor(own / (m * (m - 1)) - 2 * kernel(x, y).mean())


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(n, d) and (m, d) to (n, m)."""
    return (x @ y.mT / x.shape[1] + 1) ** 3
