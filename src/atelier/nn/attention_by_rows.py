"""Attention some queries at a time, on a CPU, with a gradient of its own: no map is held.

As flash attention does it (Dao et al. 2022, arXiv 2205.14135, §3.1): the gradient computes weights
again from a number per query. Unlike torch's kernels, these run on the products of ``products``.

Shapes: one picture's queries (N, D), keys (M, D) and values (M, C).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from atelier.nn.products import product, product_of_columns

LEAST = -40.0
"""Smallest difference from the largest score: none of float32's 24 bits notices a weight of e⁻⁴⁰.
Numbers below 1e-38 take several times as long on Intel's processors, in exponentials and products.
"""


def attention_by_rows(query: Tensor, key: Tensor, value: Tensor, rows: int) -> Tensor:
    """Return softmax(query·keyᵀ)·value (N, C) in float32, ``rows`` queries at a time."""
    found: Tensor = _ByRows.apply(query, key, value, rows)
    return found


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, rows: int) -> Tensor:
        # written in place: what lasts, allocated between parts, would keep their memory from reuse
        result, level = value.new_empty(len(query), value.shape[1]), query.new_empty(len(query), 1)
        values = value.mT.contiguous()
        for part, found, own in _parts(rows, query, result, level):
            scores = product(part, key)
            largest = scores.amax(1, keepdim=True)
            weights = _exp(scores.sub_(largest))
            total = weights.sum(1, keepdim=True)
            torch.div(product(weights, values), total, out=found)
            torch.add(largest, total.log_(), out=own)
        ctx.save_for_backward(query, key, value, result, level)
        ctx.rows = rows
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, result, level = ctx.saved_tensors
        of_scores, of_value = any(ctx.needs_input_grad[:2]), ctx.needs_input_grad[2]
        to_query = torch.empty_like(query) if of_scores else query
        to_key, to_value = torch.zeros_like(key), torch.zeros_like(value)
        along, keys = (gradient * result).sum(1, keepdim=True), key.mT.contiguous()
        each = _parts(ctx.rows, query, gradient, along, level, to_query)
        for part, above, mean, own, found in each:
            weights = _exp(product(part, key).sub_(own))
            if of_value:
                to_value += product_of_columns(weights, above)
            if of_scores:
                slope = product(above, value).sub_(mean).mul_(weights)
                found.copy_(product(slope, keys))
                to_key += product_of_columns(slope, part)
        scores = (to_query, to_key) if of_scores else (None, None)
        return *scores, to_value if of_value else None, None


def _parts(rows: int, *matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield ``rows`` rows of all ``matrices`` at a time."""
    return zip(*(torch.split(matrix, rows) for matrix in matrices), strict=True)


def _exp(differences: Tensor) -> Tensor:
    return differences.clamp_min_(LEAST).exp_()
