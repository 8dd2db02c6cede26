"""Flicker: no error where everything moves along, more where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from atelier.serving.flicker import Flicker, motion, moved, warp_error


def frame(shift: int, bright: float = 0.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Smooth texture, (64, 80, 3), moved to the right."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(60, 200, (16, 30, 3), dtype=np.uint8))
    wide = np.asarray(coarse.resize((120, 64), Image.Resampling.BICUBIC), np.float32) / 255
    return (wide[:, 20 - shift : 100 - shift] + np.float32(bright)).astype(np.float32)


def as_picture(value: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Image.Image:
    return Image.fromarray((value * 255).round().astype(np.uint8))


def test_a_frame_is_looked_up_along_the_flow() -> None:
    flow = np.stack([np.zeros((64, 80)), np.full((64, 80), 2.0)]).astype(np.float32)
    assert np.allclose(moved(frame(2), flow)[:, :-2], frame(0)[:, :-2], atol=1e-6)


def test_the_motion_is_found() -> None:
    flow, seen = motion(frame(0), frame(2))
    inside = np.s_[8:-8, 8:-8]
    assert np.median(flow[1][inside]) == pytest.approx(2, abs=0.3)
    assert abs(np.median(flow[0][inside])) < 0.3
    assert seen[inside].mean() > 0.9


def test_the_error_is_the_mean_square_of_what_does_not_move_along() -> None:
    flow, seen = np.zeros((2, 64, 80), np.float32), np.zeros((64, 80), bool)
    assert warp_error(frame(0), frame(0, 0.1), flow, seen) == 0, "nothing is seen"
    seen[10:20] = True
    assert warp_error(frame(0), frame(0, 0.1), flow, seen) == pytest.approx(0.01, rel=1e-4)


def test_flicker_is_measured_along_the_motion_of_the_original() -> None:
    original = as_picture(frame(0)), as_picture(frame(2))
    steady, flickering = Flicker(), Flicker()
    steady.add(original, (as_picture(1 - frame(0)), as_picture(1 - frame(2))))
    flickering.add(original, (as_picture(1 - frame(0)), as_picture(1 - frame(2, 0.1))))
    assert steady.made[0] == pytest.approx(steady.original[0], rel=0.05)
    assert flickering.made[0] > steady.made[0] + 0.005
    assert "(1 pair of frames)" in steady.text()
