"""Random changes of style pictures: in range, in their documented order, of the generator alone."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator

import pytest
import torch
from torch import Generator, Tensor, nn

from atelier.nn import augment
from atelier.nn.augment import augment_styles


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def styles(count: int = 3, height: int = 40, width: int = 48) -> Tensor:
    coarse = torch.rand(count, 3, 8, 8, generator=generator(9))
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def drawing(monkeypatch: pytest.MonkeyPatch, *values: float) -> Iterator[float]:
    """Let the uniform draws give ``values``; what is left shows how many were taken."""
    left = iter(values)
    monkeypatch.setattr(augment, "_uniform", lambda *_: next(left))
    return left


def test_results_are_pictures_of_one_size_in_the_documented_range() -> None:
    sides = set()
    for seed in range(30):
        found = augment_styles(styles(2, 64, 64), generator(seed))
        assert found.shape[:2] == (2, 3)
        assert found.min() >= 0
        assert found.max() <= 1
        sides.add(found.shape[2])
    assert min(sides) >= 32
    assert max(sides) <= 75
    assert len(sides) > 10


def test_the_aspect_is_kept() -> None:
    height, width = augment_styles(styles(1, 60, 90), generator()).shape[2:]
    assert width / height == pytest.approx(1.5, abs=0.05)


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(1)
    one = augment_styles(styles(), generator(4))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(one, augment_styles(styles(), generator(4)))
    assert torch.equal(state, torch.get_rng_state()), "the global generator is not touched"
    other = augment_styles(styles(), generator(5))
    assert one.shape != other.shape or not torch.equal(one, other)


def test_every_picture_of_a_batch_is_changed_differently() -> None:
    first, second = augment_styles(styles(1).expand(2, -1, -1, -1), generator())
    assert (first - second).abs().mean() > 0.02


def test_neutral_draws_leave_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    left = drawing(monkeypatch, 0.0, 1.0, 0.0, 0.9, 0.9, 1.0, 1.0)
    found = augment_styles(styles(1), generator())
    torch.testing.assert_close(found, styles(1), atol=2e-3, rtol=0)  # hue: RGB to HSV and back
    assert next(left, None) is None


def test_brightness_is_added_and_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing(monkeypatch, 0.3, 1.0, 0.0)
    found = augment._coloured(styles(1)[0], generator())
    torch.testing.assert_close(found, (styles(1)[0] + 0.3).clamp(0, 1), atol=2e-3, rtol=0)


def test_saturation_stretches_the_distance_to_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing(monkeypatch, 0.0, 0.5, 0.0)
    red = torch.tensor([0.8, 0.2, 0.2])[:, None, None].expand(3, 4, 4)
    found = augment._coloured(red, generator())[:, 0, 0]
    assert (found[0] - found[1]).item() == pytest.approx(0.3, abs=2e-3)


def test_hue_turns_by_parts_of_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing(monkeypatch, 0.0, 1.0, 0.2)
    red = torch.tensor([0.8, 0.2, 0.2])[:, None, None].expand(3, 4, 4)
    found = augment._coloured(red, generator())[:, 0, 0].tolist()
    assert colorsys.rgb_to_hsv(*found)[0] == pytest.approx(0.2, abs=5e-3)


@pytest.mark.parametrize(
    ("draws", "axes"), [((0.4, 0.6), [2]), ((0.6, 0.4), [1]), ((0.4, 0.4), [1, 2])]
)
def test_mirrors(
    monkeypatch: pytest.MonkeyPatch, draws: tuple[float, float], axes: list[int]
) -> None:
    drawing(monkeypatch, *draws)
    style = styles(1)[0]
    assert torch.equal(augment._mirrored(style, generator()), style.flip(axes))


def test_zoom_enlarges_a_part_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing(monkeypatch, 2.0)
    ramp = torch.arange(48.0).div(47).expand(3, 40, 48)
    found = augment._zoomed(ramp, generator())
    assert found.shape == (3, 40, 48)
    slope = (found[0, 0, -5] - found[0, 0, 4]) / (43 - 4) * 47
    assert slope.item() == pytest.approx(0.5, abs=0.02)


def test_a_picture_of_one_colour_stays_one_colour() -> None:
    for level in (0.0, 0.4, 1.0):
        found = augment_styles(torch.full((1, 3, 40, 40), level), generator())
        assert found.isfinite().all()
        assert (found - found[:, :, :1, :1]).abs().max() < 1e-4
