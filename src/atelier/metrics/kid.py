"""Kernel distance between two sets of feature vectors (Bińkowski et al. 2018, KID).

Shapes: a set is (n, d), one row per picture. Unlike the Fréchet distance it is unbiased: its
expectation does not depend on n, so it can be slightly negative for equal sets.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from atelier.core.config import UserError
from atelier.metrics.measures import OfSets

SUBSETS = 100
LARGEST = 1000
"""Maximum number of pictures per subset, as published."""
ROWS = 1024
"""Rows of the kernel matrix computed at once, as that of large sets would not fit in memory."""


Subsets = tuple[Tensor, Tensor]
"""Rows of each set that are in each subset, int64 (``SUBSETS``, size) each."""


def kernel_distance(reference: Tensor, generated: Tensor, *, seed: int = 0) -> dict[str, float]:
    """Return mean and spread of the unbiased squared MMD over ``SUBSETS`` random subsets.

    Returns:
        ``kid``, ``kid_sd`` (over the subsets, which overlap: no confidence interval), and
        ``kid_subset``, the pictures drawn from each set, without replacement.

    Raises:
        UserError: fewer than two pictures in a set.
    """
    drawn = draw_subsets(len(reference), len(generated), seed=seed)
    return subset_distance(reference, generated, drawn)


def draw_subsets(n_reference: int, n_generated: int, *, seed: int = 0) -> Subsets:
    """Draw the subsets of ``kernel_distance``, which depend on the sizes of the sets alone.

    Raises:
        UserError: fewer than two pictures in a set.
    """
    size = min(LARGEST, n_reference, n_generated)
    if size < 2:
        raise UserError(f"a kernel distance needs at least 2 pictures in each set, not {size}")
    draw, counts = Generator().manual_seed(seed), (n_reference, n_generated)
    pairs = [
        [torch.randperm(count, generator=draw)[:size] for count in counts] for _ in range(SUBSETS)
    ]
    rows, columns = (torch.stack(chosen) for chosen in zip(*pairs, strict=True))
    return rows, columns


def subset_distance(reference: Tensor, generated: Tensor, drawn: Subsets) -> dict[str, float]:
    """Return ``kernel_distance`` over the given subsets of (n, d) and (m, d)."""
    subsets, size = drawn[0].shape
    if len(reference) * len(generated) > subsets * size**2:  # few are drawn together
        pairs = zip(*drawn, strict=True)
        found = torch.stack([mmd(reference[rows], generated[others]) for rows, others in pairs])
    else:
        a, b = (_marked(v, rows) for v, rows in zip((reference, generated), drawn, strict=True))
        found = _subset_mmds(a, b, size)
    spread = found.std(correction=0).item()
    return {"kid": found.mean().item(), "kid_sd": spread, "kid_subset": float(size)}


def _marked(vectors: Tensor, rows: Tensor) -> Marked:
    marks = torch.zeros(len(rows), len(vectors), dtype=torch.float64)
    return marks.scatter_(1, rows, 1), vectors.double()


Marked = tuple[Tensor, Tensor]
"""Membership of the vectors in each subset, (S, n) of 0 and 1, and the vectors, (n, d)."""


def _subset_mmds(a: Marked, b: Marked, size: int) -> Tensor:
    """Return ``mmd`` of all subsets, (S,); each kernel value is computed once, not per subset."""
    own = _sums(a, a) - _diagonals(a) + _sums(b, b) - _diagonals(b)
    return own / (size * (size - 1)) - 2 * _sums(a, b) / size**2


def _sums(a: Marked, b: Marked) -> Tensor:
    """Return the sums of kernel values between the members of each subset, (S,)."""
    total = torch.zeros(len(a[0]), dtype=torch.float64)
    for marks, rows in zip(torch.split(a[0], ROWS, 1), torch.split(a[1], ROWS), strict=True):
        total += (marks @ kernel(rows, b[1]) * b[0]).sum(1)
    return total


def _diagonals(a: Marked) -> Tensor:
    marks, vectors = a
    return marks @ (vectors.square().mean(1) + 1) ** 3


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased squared MMD of (m, d) and (m, d), kernel (x·y/d + 1)³."""
    everything = torch.ones(1, len(x), dtype=torch.float64)
    return _subset_mmds((everything, x.double()), (everything, y.double()), len(x)).squeeze(0)


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel matrix (n, m) of (n, d) and (m, d)."""
    return (x @ y.mT / x.shape[1] + 1) ** 3


MEASURE = OfSets(kernel_distance)
