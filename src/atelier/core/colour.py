"""What a decoded picture's samples mean: orientation, alpha, colour profile, bit depth."""

from __future__ import annotations

import struct
import zlib
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


def normalise(image: Image.Image) -> Image.Image:
    """A decoded picture of any mode as 8-bit sRGB: mode RGB, upright, opaque, no metadata."""
    return _on_white(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except BROKEN:
        return image  # Broken EXIF says nothing about the pixels.


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
    """Scale the one-channel modes with more than 8 bits; Pillow's ``convert`` would clip them."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    scaled = values * (255.0 / _white_of(image.mode, values))
    return Image.fromarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))


def _white_of(mode: str, values: np.ndarray) -> float:
    """The sample that stands for white.

    Files of 32 bits and floats do not say: take the least of the usual ones that clips nothing.
    """
    if mode.startswith("I;16"):
        return 65535.0
    peak = float(values.max())
    usual = (1.0, 255.0, 65535.0) if mode == "F" else (65535.0, 2.0**31 - 1)
    return next((white for white in usual if peak <= white), peak)
