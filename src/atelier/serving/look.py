"""Options of an application: by the same names on the command line, in *Try it* and when served.

None of them is a setting of training: changing one trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from atelier.core.config import UserError
from atelier.methods.base import Iterate
from atelier.methods.trained import Arbitrary
from atelier.methods.unpaired import BACK
from atelier.nn.colour_transfer import recolour

Style = Image.Image | Sequence[tuple[Image.Image, float]] | None
"""A painting, or several with their weights, which are divided by their sum."""
DIRECTIONS = tuple(BACK)


@dataclass(frozen=True)
class Look:
    """Options that a method may have beside a painting; None: as in its settings."""

    strength: float | None = None
    """0 (the photograph) to 1."""
    direction: str | None = None
    """``to_art`` or ``to_photo``, of an unpaired system; None: to art."""
    colour: str | None = None
    """See ``nn.colour_transfer.Colour``. CORAL and histograms change the painting or, where the
    style is fixed, the result."""
    stroke: float | None = None
    """Size of the painting relative to the photograph: above 1 its strokes become larger."""
    mask: Image.Image | None = None
    """Which painting each part of the photograph takes: black the first, white the last, grey one
    between. Any size; stretched to the photograph's. With ``style_mask``: its regions."""
    style_mask: Image.Image | None = None
    """Regions of the one painting, of systems that are guided by regions: where ``mask`` has a
    grey, the photograph takes its style from where this has the same. Any size."""
    heatmap: bool = False
    """In place of the picture, where the generator of its direction looks: blue nowhere, red most.
    Of systems with attention, such as U-GAT-IT; ``colour`` has no part in it."""

    def label(self, name: str) -> str:
        """Return what a result of the method ``name`` is called."""
        return f"{name}-heatmap" if self.heatmap else name


STROKES = (0.25, 4.0)
"""Smallest and largest ``stroke``."""
PLAIN = Look()


def with_options(
    method: Arbitrary[Any],
    content: Tensor,
    styles: Sequence[Tensor],
    weights: Sequence[float],
    look: Look,
) -> Iterator[Iterate]:
    """Yield the iterates with options in place of the method's settings."""
    if look.colour is not None:
        method = copy(method)  # its networks are shared
        method.settings = method.settings.model_copy(update={"preserve_colour": False})
    if len(styles) == 1 and look.strength is None:
        yield from method.iterates(content, styles[0])
        return
    if method.settings.preserve_colour:
        styles = [recolour(style, content) for style in styles]
    strength = method.settings.strength if look.strength is None else look.strength
    yield Iterate(1, 1, method.interpolate(content, styles, weights, strength))


def parts(style: Style) -> list[tuple[Image.Image, float]]:
    """Return the paintings with their weights."""
    if style is None:
        return []
    return [(style, 1.0)] if isinstance(style, Image.Image) else list(style)


def shares(weights: Sequence[float]) -> list[float]:
    """Return the weights divided by their sum.

    Raises:
        UserError: one is negative or not a number, or all are 0.
    """
    total = sum(weights)
    if weights and not (min(weights) >= 0 and 0 < total < float("inf")):
        named = ", ".join(f"{weight:g}" for weight in weights)
        raise UserError(f"weights of paintings are not negative, and not all 0; found {named}")
    return [weight / total for weight in weights]
