"""What a decoded picture's samples mean: orientation, alpha, colour profile, bit depth."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms, ImageOps

# What Pillow's decoders are seen to raise for broken bytes. Warning: a caller may run with
# warnings as errors, and Pillow warns about damaged metadata.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError),
    *(RuntimeError, ArithmeticError, AttributeError, MemoryError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Warning),
)
STRIP = 2**20
"""Samples that are scaled at once."""
NO_DATA = 1e30
"""Floats beyond it say that there is none: geographers write ±3.4e38."""
OUTLIERS = 1e-3
"""Share of the samples that may lie anywhere above white."""
OVERSHOOT = 1.25
"""Times white that sharpening and Lanczos filters reach."""
HIGHLIGHTS = 4.0
"""Times white that lights reach in pictures whose white is 1; what is above white is clipped."""
BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339
"""TIFF's numbers for these tags; format 2 is whole numbers with a sign."""


def normalise(image: Image.Image) -> Image.Image:
    """A decoded picture of any mode as 8-bit sRGB: mode RGB, upright, opaque, no metadata."""
    return _on_white(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    with suppress(*BROKEN):  # Broken EXIF says nothing about the pixels.
        ImageOps.exif_transpose(image, in_place=True)  # its tags stay, and no copy is made
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """Composite on white.

    The colour under transparent pixels is arbitrary, often black; white is the paper and the page
    such cut-outs are made for.
    """
    if not image.has_transparency_data or image.mode.startswith("I"):
        return _to_srgb(image)
    rgba = image.convert("RGBA")
    # Grey stays grey: its profile, if any, describes grey samples.
    colour = image.convert("L") if image.mode == "LA" else rgba.convert("RGB")
    colour.info = {"icc_profile": image.info.get("icc_profile")}
    white = Image.new("RGB", image.size, "white")
    white.paste(_to_srgb(colour), mask=rgba.getchannel("A"))
    return white


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    rgb = _apply_profile(image, profile) if profile else None
    if rgb is None and image.mode == "LAB":
        rgb = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if rgb is None:
        # Inverted (Adobe) CMYK has been turned round by Pillow's JPEG decoder already.
        rgb = image.convert("RGB")
    rgb.info = {}
    return rgb


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        # A profile describes colour samples: palette indices and one-bit pixels are not.
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
    rows = max(1, STRIP // image.width)
    tops = range(0, image.height, rows)
    white = _white_of(image)
    grey = np.empty((image.height, image.width), np.uint8)
    for top in tops:
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        values = np.nan_to_num(np.asarray(strip, dtype=np.float64), posinf=white, neginf=0)
        np.clip(np.rint(values * (255.0 / white)), 0, 255, out=values)
        grey[top : top + rows] = values
    return Image.fromarray(grey)


def _white_of(image: Image.Image) -> float:
    """The sample that stands for white.

    Files of 32 bits and floats do not say: take the least of the usual ones that all but a few
    samples keep to. Resampling overshoots, highlights lie above white, dead pixels and places
    without data (infinity, ±3.4e38, the ends of the integers) are anything.
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
    # Whole numbers above 1 count steps from black, however dark the picture is.
    counts = bool((values == np.rint(values)).all() and values.max() > 1)
    usual = ((1.0, HIGHLIGHTS), (255.0, OVERSHOOT), (65535.0, OVERSHOOT))
    return next((w for w, most in usual[counts:] if peak <= most * w), float(values.max()))


def _sample(image: Image.Image) -> np.ndarray:
    """Samples of every n-th row, about ``STRIP`` of them, as one row of float64."""
    step = max(1, image.width * image.height // STRIP)
    box = ((0, y, image.width, y + 1) for y in range(0, image.height, step))
    rows = [np.asarray(image.crop(part), dtype=np.float64) for part in box]
    return np.concatenate(rows, axis=None)


def _whole(image: Image.Image) -> tuple[float, ...]:
    """Usual whites of whole numbers; a TIFF says when they are 16 bits with a sign."""
    tags = getattr(image, "tag_v2", {})
    signed = tags.get(SAMPLE_FORMAT, (1,))[0] == 2 and tags.get(BITS_PER_SAMPLE, (32,))[0] == 16
    return (255.0, 32767.0) if signed else (255.0, 65535.0)
