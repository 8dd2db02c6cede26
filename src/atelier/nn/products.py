"""Products of float32 matrices on a CPU, computed as convolutions where that is faster.

torch leaves products to MKL, which uses half of an AVX-512 core's lanes on AMD's processors, and
convolutions to oneDNN, which uses all of them: the same sums in about half the time. Convolutions
with a filter of 1×1 are products, and oneDNN's from sixteen pictures on: so rows are divided among
sixteen. On Intel's processors MKL is the faster of the two; there, on other devices and where it is
not worth it, these are torch's products.

Shapes: N rows, M rows, D columns.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

from atelier.core.device import processor
from atelier.nn.eager import eager_on_cpu

weight_gradient: Any = conv2d_weight  # has no types
PICTURES = 16
WORTH = 2**22
"""Multiplications from which it pays to divide the rows."""


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return a·bᵀ (N, M) of (N, D) and (M, D)."""
    rows = len(a) - len(a) % PICTURES
    if not rows or not _pays(a, b, a.numel() * len(b)):
        return a @ b.mT
    found = F.conv2d(_pictures(a[:rows]), b[..., None, None])
    found = found.permute(0, 2, 3, 1).reshape(rows, len(b))
    return found if rows == len(a) else torch.cat([found, a[rows:] @ b.mT])


def products(a: Tensor, b: Tensor) -> Tensor:
    """Return ``product`` of every pair, (B, N, M) of (B, N, D) and (B, M, D)."""
    if not _pays(a, b, a[:1].numel() * b.shape[1]):
        return a @ b.mT
    found = [product(*pair) for pair in zip(a, b, strict=True)]
    return found[0][None] if len(found) == 1 else torch.stack(found)  # stacking one copies it


def gram_of_rows(rows: Tensor) -> Tensor:
    """Return rows·rowsᵀ (B, N, N) of (B, N, D).

    As it is symmetric, its gradient is one product; torch's takes two.
    """
    found: Tensor = _GramOfRows.apply(rows)
    return found


class _GramOfRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return products(rows, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return products(gradient + gradient.mT, rows.mT)


def lower_on_cpu(value: Tensor) -> bool:
    """Return whether a tensor is in bfloat16 where ``of_bfloat16_values`` makes products faster."""
    return value.dtype == torch.bfloat16 and eager_on_cpu(value)


@contextmanager
def of_bfloat16_values() -> Iterator[None]:
    """Multiply float32 matrices as bfloat16, with sums in float32: for values that are bfloat16's.

    Then nothing is rounded, as torch rounds a product that it returns in bfloat16. Without a
    processor's instructions for it, torch multiplies as ever, and so it does in all but the main
    thread: the switch is the process's, and a server's threads would round each other's numbers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    place: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009 - it has no type
    before = place.fp32_precision
    place.fp32_precision = "bf16"
    try:
        yield
    finally:
        place.fp32_precision = before


def gram_of_columns(rows: Tensor) -> Tensor:
    """Return rowsᵀ·rows (D, D) of (N, D), without a gradient."""
    return product_of_columns(rows, rows)


def product_of_columns(a: Tensor, b: Tensor) -> Tensor:
    """Return aᵀ·b (D, E) of (N, D) and (N, E), without a gradient."""
    whole = len(a) - len(a) % PICTURES
    if not whole or not _pays(a, b, a.numel() * b.shape[1]):
        return a.mT @ b
    size = (a.shape[1], b.shape[1], 1, 1)
    found: Tensor = weight_gradient(_pictures(b[:whole]), size, _pictures(a[:whole]))[..., 0, 0]
    return found if whole == len(a) else found + a[whole:].mT @ b[whole:]


class Pointwise(nn.Conv2d):
    """``torch.nn.Conv2d`` with a filter of 1×1, for which torch calls MKL, too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H, W)."""
        lower = torch.is_autocast_enabled(value.device.type)
        if lower or not _as_convolutions(value):
            return super().forward(value)
        rows = value.permute(0, 2, 3, 1)
        found = product(rows.flatten(0, 2), self.weight.flatten(1))
        if self.bias is not None:
            found = found + self.bias
        return found.view(*rows.shape[:3], self.out_channels).permute(0, 3, 1, 2)


@cache
def mkl_is_slow() -> bool:
    """Return whether MKL leaves lanes of this processor unused: whether it is one of AMD's."""
    return "AMD" in processor()


def _pays(a: Tensor, b: Tensor, multiplications: int) -> bool:
    exact = a.dtype == b.dtype == torch.float32
    return exact and multiplications >= WORTH and _as_convolutions(a)


def _as_convolutions(value: Tensor) -> bool:
    return eager_on_cpu(value) and mkl_is_slow()


def _pictures(rows: Tensor) -> Tensor:
    """Return (N, D) as sixteen pictures of D channels, in channels last.

    A transposed matrix is copied first: as a view it would be contiguous pictures, whose product
    has to be copied instead, and is the larger.
    """
    return rows.contiguous().view(PICTURES, -1, 1, rows.shape[1]).permute(0, 3, 1, 2)
