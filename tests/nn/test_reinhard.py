"""Colour transfer in lαβ: the published axes, the moments, and what has none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from atelier.nn.reinhard import from_lab, to_lab, transfer_colour


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def test_the_axes_are_the_papers() -> None:
    """Eq. 4-6 written out for one colour."""
    r, g, b = 0.9, 0.4, 0.1
    cones = (
        0.3811 * r + 0.5783 * g + 0.0402 * b,
        0.1967 * r + 0.7244 * g + 0.0782 * b,
        0.0241 * r + 0.1288 * g + 0.8444 * b,
    )
    long, middle, short = (math.log10(cone) for cone in cones)
    expected = [
        (long + middle + short) / math.sqrt(3),
        (long + middle - 2 * short) / math.sqrt(6),
        (long - middle) / math.sqrt(2),
    ]
    found = to_lab(torch.tensor([r, g, b], dtype=torch.float64).view(1, 3, 1, 1)).flatten()
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_there_and_back_is_the_picture() -> None:
    picture = noise(2, 3, 5, 7).clamp_min(1 / 255)
    torch.testing.assert_close(from_lab(to_lab(picture)), picture, rtol=1e-9, atol=1e-12)


def test_the_result_has_the_paintings_mean_and_standard_deviation() -> None:
    content, style = 0.2 + 0.5 * noise(2, 3, 31, 45), 0.3 + 0.4 * noise(2, 3, 20, 37, seed=1)
    result = transfer_colour(content, style)
    found, wanted, before = to_lab(result), to_lab(style), to_lab(content)
    for statistic in (torch.mean, lambda x, at: x.std(at, correction=0)):
        ours, theirs = statistic(found, (2, 3)), statistic(wanted, (2, 3))
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        assert not torch.allclose(statistic(before, (2, 3)), theirs, rtol=1e-2)


def test_a_channels_values_keep_their_order() -> None:
    content, style = noise(1, 3, 8, 8).clamp_min(1 / 255), noise(1, 3, 8, 8, seed=1)
    before, after = (to_lab(x) for x in (content, transfer_colour(content, style)))
    # a result darker than the least level loses its place: take moderate colours alone
    inside = (transfer_colour(content, style) > 1 / 255).all(1).flatten()
    order = before.flatten(2)[0, 0, inside].argsort()
    assert inside.sum() > 20
    assert after.flatten(2)[0, 0, inside][order].diff().min() >= 0


def test_a_picture_of_one_colour_and_a_black_one_become_the_paintings_mean() -> None:
    style = 0.3 + 0.4 * noise(1, 3, 6, 6)
    mean = from_lab(to_lab(style).mean((2, 3), keepdim=True))
    for level in (0.0, 0.5):
        result = transfer_colour(torch.full((1, 3, 4, 4), level, dtype=torch.float64), style)
        torch.testing.assert_close(result, mean.expand_as(result))
