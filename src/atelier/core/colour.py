"""Meaning of a decoded picture's samples: orientation, alpha, colour profile, bit depth."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms, ImageOps

# What Pillow's decoders have been observed to raise for broken bytes. Warning is among them: a
# caller may treat warnings as errors, and Pillow warns about damaged metadata.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError),
    *(RuntimeError, ArithmeticError, AttributeError, MemoryError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Warning),
)
STRIP = 2**20
"""Number of samples that are scaled, or composited, at once."""
NO_DATA = 1e30
"""Floats of a larger magnitude mean "no data": geographic rasters use ±3.4e38."""
OUTLIERS = 1e-3
"""Fraction of the samples that may exceed white without limit."""
OVERSHOOT = 1.25
"""Factor by which sharpening and Lanczos filters may overshoot white."""
HIGHLIGHTS = 4.0
"""Factor by which highlights may exceed white in pictures whose white is 1; they are clipped."""
BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339
"""TIFF tag numbers; sample format 2 is signed integers."""


def normalise(image: Image.Image) -> Image.Image:
    """Return a decoded picture of any mode as 8-bit sRGB: RGB, upright, opaque, no metadata."""
    return _on_white(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    with suppress(*BROKEN):  # Broken EXIF says nothing about the pixels.
        ImageOps.exif_transpose(image, in_place=True)  # its tags stay, and no copy is made
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """Composite on white, strip by strip: five copies of a large picture would take gigabytes.

    The colour under transparent pixels is arbitrary, often black; cut-outs are made for white
    pages.
    """
    if not image.has_transparency_data or image.mode.startswith("I"):
        return _to_srgb(image)
    white = Image.new("RGB", image.size, "white")
    for box in _strips(image):
        rgba = (strip := image.crop(box)).convert("RGBA")
        # Grey stays grey: its profile, if any, describes grey samples.
        colour = strip.convert("L") if image.mode == "LA" else rgba.convert("RGB")
        colour.info = {"icc_profile": image.info.get("icc_profile")}
        white.paste(_to_srgb(colour), box, mask=rgba.getchannel("A"))
    return white


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes of strips of about ``STRIP`` pixels, from top to bottom."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    rgb = _apply_profile(image, profile) if profile else None
    if rgb is None and image.mode == "LAB":
        rgb = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if rgb is None:
        # Pillow's JPEG decoder has already inverted Adobe's CMYK.
        rgb = image.convert("RGB")
    rgb.info = {}
    return rgb


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        # A profile describes colour samples, which palette indices and one-bit pixels are not.
        image = image if image.mode in {"L", "RGB", "CMYK", "LAB"} else image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, *BROKEN):
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale the one-channel modes with more than 8 bits; Pillow's ``convert`` would clip them.

    Strip by strip: the samples of a large picture as float64 would take gigabytes.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    white = _white_of(image)
    grey = np.empty((image.height, image.width), np.uint8)
    for box in _strips(image):
        values = np.asarray(image.crop(box), dtype=np.float64)
        values = np.nan_to_num(values, posinf=white, neginf=0)
        np.clip(np.rint(values * (255.0 / white)), 0, 255, out=values)
        grey[box[1] : box[3]] = values
    return Image.fromarray(grey)


def _white_of(image: Image.Image) -> float:
    """Return the sample value of white.

    Files with 32-bit integers or floats do not state it: take the smallest usual white that all but
    a few samples respect. Resampling overshoots, highlights exceed white, and dead pixels or
    missing data (infinity, ±3.4e38, the extreme integers) can have any value.
    """
    if image.mode.startswith("I;16"):
        return 65535.0
    values = _sample(image)
    is_float = image.mode == "F"
    values = values[np.abs(values) < (NO_DATA if is_float else 2.0**31 - 1)]  # not NaN either
    if not len(values):
        return 1.0
    if not is_float:
        return next((w for w in _whole(image) if values.max() <= OVERSHOOT * w), 2.0**31 - 1)
    peak = float(np.quantile(values, 1 - OUTLIERS))
    # Integers above 1 are levels, never fractions of white, however dark the picture is.
    counts = bool((values == np.rint(values)).all() and values.max() > 1)
    usual = ((1.0, HIGHLIGHTS), (255.0, OVERSHOOT), (65535.0, OVERSHOOT))
    return next((w for w, most in usual[counts:] if peak <= most * w), float(values.max()))


def _sample(image: Image.Image) -> np.ndarray:
    """Return about ``STRIP`` samples, those of every n-th row, as one row of float64."""
    step = max(1, image.width * image.height // STRIP)
    box = ((0, y, image.width, y + 1) for y in range(0, image.height, step))
    rows = [np.asarray(image.crop(part), dtype=np.float64) for part in box]
    return np.concatenate(rows, axis=None)


def _whole(image: Image.Image) -> tuple[float, ...]:
    """Return the usual whites of integer samples; a TIFF states whether they are signed 16-bit."""
    tags = getattr(image, "tag_v2", {})
    signed = tags.get(SAMPLE_FORMAT, (1,))[0] == 2 and tags.get(BITS_PER_SAMPLE, (32,))[0] == 16
    return (255.0, 32767.0) if signed else (255.0, 65535.0)
