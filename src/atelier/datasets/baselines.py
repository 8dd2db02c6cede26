"""Pictures of the baselines that need no network: what the systems' figures are explained by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from atelier.core import images
from atelier.core.baselines import COLOUR_TRANSFER, PAINTINGS_PASTED
from atelier.core.pairing import Job
from atelier.nn.reinhard import transfer_colour


def coloured(photo: Image.Image, painting: Image.Image) -> Image.Image:
    """Return the photograph with its painting's colours; see ``reinhard.transfer_colour``."""
    content, style = (images.to_tensor(picture)[None].double() for picture in (photo, painting))
    return images.to_image(transfer_colour(content, style))


def pasted(photo: Image.Image, painting: Image.Image) -> Image.Image:
    """Return the painting, cut to the photograph's size: as it is where the two agree."""
    if painting.size == photo.size:
        return painting
    return images.resize(painting, photo.size, "crop")


MAKERS: Mapping[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    COLOUR_TRANSFER: coloured,
    PAINTINGS_PASTED: pasted,
}
"""Baseline → its picture of a photograph and the painting that one is paired with."""


def make_baselines(jobs: Sequence[Job], folders: Mapping[str, Path]) -> None:
    """Write ``<photo>.png`` of every pair into the folder of each baseline.

    Raises:
        UserError: a picture that cannot be read (named).
    """
    for job in jobs:
        photo, painting = images.read(job.content), images.read(job.style)
        for key, folder in folders.items():
            images.save_png(MAKERS[key](photo, painting), folder / f"{job.photo}.png")
