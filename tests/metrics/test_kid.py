"""The kernel distance: the formula written out, its expectation, its sets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.kid import (
    SUBSETS,
    draw_subsets,
    kernel,
    kernel_distance,
    mmd,
    subset_distance,
)


def drawn(n: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)).double() + shift


def naive(x: Tensor, y: Tensor) -> float:
    def k(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    m = len(x)
    total = 0.0
    for i in range(m):
        for j in range(m):
            if i != j:
                total += (k(x[i], x[j]) + k(y[i], y[j])) / (m * (m - 1))
            total -= 2 * k(x[i], y[j]) / m**2
    return total


def test_it_is_the_formula_written_out() -> None:
    x, y = drawn(5, 0), drawn(5, 1, shift=0.3)
    assert float(mmd(x, y)) == pytest.approx(naive(x, y), rel=1e-12)


def test_subsets_as_large_as_the_sets_leave_no_spread() -> None:
    x, y = drawn(7, 0), drawn(7, 1, shift=0.5)
    found = kernel_distance(x, y)
    assert found["kid"] == pytest.approx(float(mmd(x, y)), rel=1e-9)
    assert found["kid_sd"] == pytest.approx(0, abs=1e-9)
    assert found["kid_subset"] == 7


def test_all_subsets_at_once_are_the_same_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = drawn(9, 0), drawn(6, 1, shift=0.5)
    draw = torch.Generator().manual_seed(2)
    each = torch.stack(
        [
            mmd(x[torch.randperm(9, generator=draw)[:6]], y[torch.randperm(6, generator=draw)])
            for _ in range(SUBSETS)
        ]
    )
    for rows in (1024, 4):  # the kernel matrix whole, and in pieces
        monkeypatch.setattr("atelier.metrics.kid.ROWS", rows)
        found = kernel_distance(x, y, seed=2)
        assert found["kid"] == pytest.approx(float(each.mean()), rel=1e-9)
        assert found["kid_sd"] == pytest.approx(float(each.std(correction=0)), rel=1e-9)


def test_small_subsets_of_large_sets_are_computed_alone_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10,000 kernel values of all against 2,500 of those drawn together."""
    x, y = drawn(100, 0), drawn(100, 1, shift=0.5)
    monkeypatch.setattr("atelier.metrics.kid.LARGEST", 5)
    alone, (rows, others) = kernel_distance(x, y), draw_subsets(100, 100)
    half = draw_subsets(50, 50)
    for a, b, pairs in ((x, y, (rows, others)), (x[:50], y[:50], half)):
        values = torch.stack([mmd(a[i], b[j]) for i, j in zip(*pairs, strict=True)])
        found = subset_distance(a, b, pairs)
        assert found["kid"] == pytest.approx(float(values.mean()), rel=1e-9)
        assert found["kid_sd"] == pytest.approx(float(values.std(correction=0)), rel=1e-9)
    assert alone == subset_distance(x, y, (rows, others))


def test_it_is_unbiased() -> None:
    """Many small sets of the same kind: the mean is nothing beside the values' spread."""
    values = torch.stack([mmd(drawn(8, 2 * n), drawn(8, 2 * n + 1)) for n in range(2000)])
    assert abs(values.mean()) < 4 * values.std() / 2000**0.5
    assert (values < 0).any()


def test_it_grows_with_the_difference() -> None:
    near, far = (kernel_distance(drawn(40, 0), drawn(30, 1, shift=s))["kid"] for s in (0.2, 1.0))
    assert 0 < near < far


def test_the_draws_are_seeded_and_spread() -> None:
    x, y = drawn(40, 0), drawn(10, 1, shift=0.5)
    assert kernel_distance(x, y, seed=3) == kernel_distance(x, y, seed=3)
    assert kernel_distance(x, y, seed=3) != kernel_distance(x, y, seed=4)
    assert kernel_distance(x, y)["kid_sd"] > 0


def test_single_pictures_are_refused() -> None:
    with pytest.raises(UserError, match="at least 2 pictures"):
        kernel_distance(drawn(1, 0), drawn(5, 1))


def test_the_kernel() -> None:
    assert float(kernel(torch.ones(1, 4), 2 * torch.ones(1, 4))) == 27
