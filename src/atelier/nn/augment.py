"""Random augmentation of style pictures, so that few paintings cover more statistics.

The order and ranges of magenta's ``arbitrary_style_image_inputs`` (Ghiasi et al. 2017), its sizes
as fractions of its 256 pixels. Magenta itself advises against augmentation for small sets of
styles.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import torch
from torch import Generator, Tensor

BRIGHTNESS = 0.8
SATURATION = (0.5, 1.5)
HUE = 0.2
"""Maximum change of hue, as a fraction of a full turn."""
ZOOM = (258 / 256, 455 / 256)
SIDE = (128 / 256, 299 / 256)


def augment_styles(styles: Tensor, generator: Generator) -> Tensor:
    """Return styles with changed colours, mirrored, zoomed into, and resized to one size.

    Args:
        styles: (S, 3, h, w) in [0, 1].
        generator: on the CPU; the only source of randomness.

    Returns:
        (S, 3, h', w') in [0, 1], the sides 0.5 to 1.17 times the former ones.
    """
    changed = torch.stack([_zoomed(_mirrored(_coloured(s, generator), generator), generator)
                           for s in styles])  # fmt: skip
    factor = _uniform(SIDE, generator)
    size = [round(side * factor) for side in styles.shape[2:]]
    resized: Tensor = _ops().resize(changed, size, antialias=True)
    return resized.clamp(0, 1)  # a filter's weights sum to 1 only approximately


def _coloured(style: Tensor, generator: Generator) -> Tensor:
    """Change brightness, saturation and hue, in this order."""
    # Added, as in TensorFlow; torchvision's adjust_brightness multiplies.
    style = (style + _uniform((-BRIGHTNESS, BRIGHTNESS), generator)).clamp(0, 1)
    # Unlike TensorFlow's, which scales the S of HSV: a mixture with the grey picture.
    style = _ops().adjust_saturation(style, _uniform(SATURATION, generator))
    turned: Tensor = _ops().adjust_hue(style, _uniform((-HUE, HUE), generator))
    return turned


def _mirrored(style: Tensor, generator: Generator) -> Tensor:
    """Flip horizontally and vertically, each with probability ½."""
    axes = [axis for axis in (2, 1) if _uniform((0, 1), generator) < 0.5]
    return style.flip(axes)


def _zoomed(style: Tensor, generator: Generator) -> Tensor:
    """Return a random crop, enlarged to the original size."""
    height, width = style.shape[1:]
    zoom = _uniform(ZOOM, generator)
    part_height, part_width = round(height / zoom), round(width / zoom)
    top = int(torch.randint(height - part_height + 1, (), generator=generator))
    left = int(torch.randint(width - part_width + 1, (), generator=generator))
    place = (top, left, part_height, part_width)
    enlarged: Tensor = _ops().resized_crop(style, *place, [height, width], antialias=True)
    return enlarged


@cache
def _ops() -> Any:
    """Return torchvision's operations, imported on first use, as that takes a while."""
    return importlib.import_module("torchvision.transforms.v2.functional")


def _uniform(limits: tuple[float, float], generator: Generator) -> float:
    low, high = limits
    return low + (high - low) * float(torch.rand((), generator=generator))
