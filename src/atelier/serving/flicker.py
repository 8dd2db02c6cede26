"""Flicker of a stylised video: the warp error (Lai et al. 2018) along the original's motion.

Where the original shows the same thing in two frames, the stylised frames should, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 256
"""Longer side in pixels at which motion is estimated and errors are measured."""
Frame = NDArray[np.float32]
"""(h, w, 3) in [0, 1]."""
Pair = tuple[Image.Image, Image.Image]
"""A frame and the next."""


@dataclass
class Flicker:
    """Mean warp errors of the pairs of frames added so far."""

    made: list[float] = field(default_factory=list)
    original: list[float] = field(default_factory=list)

    def add(self, originals: Pair, made: Pair) -> None:
        """Measure two successive frames: the original's and the stylised ones, at one size."""
        first, second = (_small(frame) for frame in originals)
        flow, seen = motion(first, second)
        self.original.append(warp_error(first, second, flow, seen))
        one, other = (_small(frame) for frame in made)
        self.made.append(warp_error(one, other, flow, seen))

    def text(self) -> str:
        """Return the measure as a sentence."""
        if not self.made:
            return "flicker: not measured, as there is a single frame"
        made, original = (1e3 * float(np.mean(values)) for values in (self.made, self.original))
        pairs = f"{len(self.made)} pair{'s' if len(self.made) > 1 else ''} of frames"
        return f"flicker: warp error {made:.2f}·10⁻³, of the original {original:.2f}·10⁻³ ({pairs})"


def warp_error(first: Frame, second: Frame, flow: Frame, seen: NDArray[np.bool_]) -> float:
    """Return the mean squared difference of a frame and the next, moved back along ``flow``.

    Args:
        first: a frame.
        second: the next one.
        flow: (2, h, w), displacement in pixels, rows first, from ``first`` to ``second``.
        seen: (h, w), the pixels that count. Without any the error is 0.
    """
    if not seen.any():
        return 0.0
    return float(np.square(first - moved(second, flow))[seen].mean())


def motion(first: Frame, second: Frame) -> tuple[Frame, NDArray[np.bool_]]:
    """Return the flow from a frame to the next, and where both show the same thing.

    Flow by the iterative Lucas–Kanade method; a pixel is hidden in the next frame where the flow
    there and back does not end at it (Ruder et al. 2016).
    """
    from skimage.color import rgb2gray  # noqa: PLC0415 - an extra
    from skimage.registration import optical_flow_ilk  # noqa: PLC0415

    one, other = (rgb2gray(frame) for frame in (first, second))
    there: Frame = optical_flow_ilk(one, other).astype(np.float32)
    back: Frame = optical_flow_ilk(other, one).astype(np.float32)
    arrived = np.stack([moved(part[..., None], there)[..., 0] for part in back])
    lengths = np.square(there).sum(0) + np.square(arrived).sum(0)
    return there, np.square(there + arrived).sum(0) <= 0.01 * lengths + 0.5


def moved(frame: Frame, flow: Frame) -> Frame:
    """Return ``frame`` (h, w, c) looked up at every pixel's place plus its ``flow``."""
    from skimage.transform import warp  # noqa: PLC0415 - an extra

    places = np.stack(np.meshgrid(*map(np.arange, frame.shape[:2]), indexing="ij")) + flow
    parts = [warp(part, places, mode="edge", order=1) for part in np.moveaxis(frame, 2, 0)]
    return np.stack(parts, 2).astype(np.float32)


def _small(frame: Image.Image) -> Frame:
    picture = frame.convert("RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(picture).astype(np.float32) / np.float32(255)
