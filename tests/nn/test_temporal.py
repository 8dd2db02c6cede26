"""Temporal loss: its shift, its zero, its value by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from atelier.nn import temporal
from atelier.nn.temporal import SHIFT, shifted, temporal_loss


def picture(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 40, 44, generator=Generator().manual_seed(seed))


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -5), (-SHIFT, SHIFT)])
def test_a_shift_moves_what_stays_inside(down: int, right: int) -> None:
    image = picture()
    expected, inside = image.roll((down, right), (2, 3)), (..., slice(8, -8), slice(8, -8))
    assert torch.equal(shifted(image, down, right)[inside], expected[inside])
    assert shifted(image, down, right).shape == image.shape


def test_a_network_that_looks_at_each_pixel_alone_loses_by_noise_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def negative(image: Tensor) -> Tensor:
        return 1 - image

    content, drawn = picture(), Generator().manual_seed(1)
    found = temporal_loss(negative, content, negative(content), drawn)
    assert found.tolist() == pytest.approx([temporal.NOISE**2] * 2, rel=0.1)
    monkeypatch.setattr(temporal, "NOISE", 0)
    found = temporal_loss(negative, content, negative(content), drawn)
    assert found.max() < 1e-12


def test_a_network_that_looks_at_places_loses_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ramp to the right: moved by d pixels, it differs by d everywhere."""
    monkeypatch.setattr(temporal, "NOISE", 0)
    ramp = torch.arange(44.0).expand(2, 3, 40, 44)
    drawn = Generator().manual_seed(1)
    _, right = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=Generator().manual_seed(1))
    assert right != 0
    found = temporal_loss(lambda image: ramp + 0 * image, picture(), ramp, drawn)
    assert found.tolist() == pytest.approx([float(right) ** 2] * 2)
