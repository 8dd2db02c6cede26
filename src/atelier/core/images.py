"""The only place that knows picture files, colour, ranges, EXIF, alpha, resizing, PNG writing.

Everywhere else a picture is an 8-bit sRGB ``PIL.Image`` of mode RGB or a float tensor in [0, 1].
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from atelier.core.colour import BROKEN, normalise
from atelier.core.config import UserError
from atelier.core.files import atomic

SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
"""What ``find`` takes for a picture, compared in lower case."""
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Decoders in use; others Pillow knows run outside programs (EPS) or are rarely tested."""
MAX_PIXELS = 80_000_000
"""Larger pictures are refused by their header; below Pillow's own limit of 89 million, so that its
warning never shows."""
PNG_LEVEL = 1
"""zlib level: on photographs three times faster than the default 6, for 2 % more bytes."""
ResizeMode = Literal["crop", "fit", "stretch"]


class ImageError(UserError):
    """A picture that cannot be read; ``path`` and ``reason`` are kept for reports."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        """Survive the way back from a worker process."""
        return type(self), (str(self.path), self.reason)


def read(path: Path | str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read any common picture as 8-bit sRGB, mode RGB, upright, first frame, no metadata.

    Alpha is composited on white; an embedded colour profile is converted to sRGB (a broken one is
    ignored); 16-bit and float samples are scaled to 8 bits.

    Raises:
        ImageError: empty, truncated, broken, not a picture, or larger than ``max_pixels``.
    """
    try:
        with Path(path).open("rb") as file:
            return _decode(path, file, max_pixels)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(path, "is missing") from None
    except BROKEN as error:
        raise ImageError(path, _reason(error)) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"  # no permission, a folder, a dead disk
    return f"is broken or truncated ({error or type(error).__name__})"


def _decode(path: Path | str, file: BinaryIO, max_pixels: int) -> Image.Image:
    image = _open(path, file)
    width, height = image.size
    if width * height > max_pixels:
        size = f"{width}×{height} pixels, over the limit of {max_pixels / 1e6:g} megapixels"
        raise ImageError(path, f"is too large: {size}")
    image.load()
    return normalise(image)


def _open(path: Path | str, file: BinaryIO) -> Image.Image:
    """Read the header only.

    ``Image.open`` is not used: it warns by itself about large pictures, and a warning can be held
    back only by changing the filters of every thread.
    """
    prefix = file.read(16)
    if not prefix:
        raise ImageError(path, "is empty (0 bytes)")
    Image.init()
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(prefix) is True:
            file.seek(0)
            return factory(file, str(path))
    known = ", ".join(FORMATS)
    raise ImageError(path, f"is not a picture of a known kind ({known}), whatever its name says")


def resize(
    image: Image.Image, size: int | tuple[int, int], mode: ResizeMode = "crop"
) -> Image.Image:
    """Resize with an antialiased Lanczos filter, up or down.

    Args:
        image: any size.
        size: in pixels; one number, or (width, height) of the result or of the box to fit in.
        mode: ``crop`` fills the size and cuts what sticks out, evenly on both sides; ``fit`` keeps
            all of the picture and its aspect, the longer side takes the size; ``stretch`` distorts.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if mode == "crop":
        return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    if mode == "fit":
        scale = min(width / image.width, height / image.height)
        width = min(width, max(1, round(image.width * scale)))
        height = min(height, max(1, round(image.height * scale)))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def to_tensor(image: Image.Image) -> Tensor:
    """``image`` as (3, H, W) float32 in [0, 1]."""
    array = np.array(image.convert("RGB"))  # (H, W, 3)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div_(255)


def to_image(tensor: Tensor) -> Image.Image:
    """(3, H, W) or (1, 3, H, W) as a picture: clamped to [0, 1], rounded to 8 bits.

    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    picture = tensor.detach()[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor.detach()
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise ValueError(f"expected (3, H, W) or (1, 3, H, W), found {tuple(tensor.shape)}")
    if not bool(torch.isfinite(picture).all()):
        raise ValueError("the picture holds values that are not finite")
    eight = picture.float().clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    return Image.fromarray(eight.permute(1, 2, 0).contiguous().numpy())


def load(path: Path | str) -> Tensor:
    """Read a picture as (3, H, W) in [0, 1]; raises ``ImageError`` like ``read``."""
    return to_tensor(read(path))


def load_batch(paths: Sequence[Path | str]) -> Tensor:
    """Read pictures of one size as (B, 3, H, W) in [0, 1].

    Raises:
        UserError: no picture, or two of different sizes, both named.
    """
    if not paths:
        raise UserError("no pictures to load: the list is empty")
    pictures = [load(path) for path in paths]
    for path, picture in zip(paths, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            one, other = (f"{p.shape[2]}×{p.shape[1]}" for p in (pictures[0], picture))
            both = f"{paths[0]} is {one} but {path} is {other}"
            raise UserError(f"{both}; pictures of one batch must have one size")
    return torch.stack(pictures)


def save_png(image: Image.Image | Tensor, path: Path | str) -> None:
    """Write an RGB PNG atomically: same pixels, same bytes; no metadata; makes the folder."""
    picture = to_image(image) if isinstance(image, Tensor) else image
    clean = picture.convert("RGB")  # always a copy
    clean.info = {}
    with atomic(path) as part:
        clean.save(part, format="PNG", compress_level=PNG_LEVEL)


def find(folder: Path | str) -> list[Path]:
    """Every picture below ``folder``, by suffix, sorted by relative POSIX path.

    Nested folders are searched; hidden files and folders and linked folders are not.
    """
    root = Path(folder)
    found: list[Path] = []
    for where, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in files if _is_picture_name(name)]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _is_picture_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture, without decoding it."""
    with Image.open(path) as image:  # the header only
        return image.size
