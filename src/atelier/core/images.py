"""Reading, resizing, converting and writing pictures; the only place that handles picture files.

Everywhere else a picture is an 8-bit sRGB ``PIL.Image`` of mode RGB or a float tensor in [0, 1].
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

from atelier.core.colour import BROKEN, normalise
from atelier.core.config import UserError
from atelier.core.decoders import (
    MAX_PIXELS,
    SUFFIXES,
    RefusedError,
    check_size,
    open_header,
    require_regular,
)
from atelier.core.filenames import readable
from atelier.core.files import atomic

# torch is imported where tensors are made: `prepare` and its processes would wait seconds for it
if TYPE_CHECKING:
    from torch import Tensor

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
        """Make the error picklable, so that it can cross from a worker process."""
        return type(self), (str(self.path), self.reason)


def read(
    path: Path | str, max_pixels: int = MAX_PIXELS, max_side: int | None = None
) -> Image.Image:
    """Read any common picture as 8-bit sRGB, mode RGB, upright, first frame, no metadata.

    Alpha is composited on white; an embedded colour profile is converted to sRGB (a broken one is
    ignored); 16-bit and float samples are scaled to 8 bits.

    Args:
        path: a file, or a link to one; never a pipe.
        max_pixels: larger pictures are refused before they are decoded.
        max_side: length in pixels to which the caller shrinks it anyway: a JPEG at least four times
            as large is decoded at a half, quarter or eighth of its size.

    Raises:
        ImageError: empty, truncated, broken, not a picture, or too large.
    """
    with _named(path):
        require_regular(Path(path))
        with Path(path).open("rb") as file:
            image = open_header(path, file)
            check_size(*image.size, max_pixels)
            if max_side and 4 * max_side <= max(image.size):
                # Twice the size, so that our own filter does the final resizing.
                share = 2 * max_side / max(image.size)
                image.draft(None, (int(image.width * share), int(image.height * share)))
            image.load()
            return normalise(image)


@contextmanager
def _named(path: Path | str) -> Iterator[None]:
    """Convert every error of reading a picture into an ``ImageError`` that names it."""
    try:
        yield
    except RefusedError as error:
        raise ImageError(path, str(error)) from None
    except FileNotFoundError:
        raise ImageError(path, "is missing") from None
    except BROKEN as error:
        raise ImageError(path, _reason(error)) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"  # no permission, a folder, a failing disk
    if isinstance(error, MemoryError):
        return "needs more memory than there is; shrink it first"
    return f"is broken or truncated ({error or type(error).__name__})"


def resize(
    image: Image.Image, size: int | tuple[int, int], mode: ResizeMode = "crop"
) -> Image.Image:
    """Resize with an antialiased Lanczos filter, up or down.

    Args:
        image: any size.
        size: in pixels; one number, or (width, height) of the result or of the box to fit in.
        mode: ``crop`` fills the size and crops the excess evenly on both sides; ``fit`` keeps the
            full picture and its aspect ratio inside the size; ``stretch`` ignores the aspect ratio.
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
    """Return ``image`` as (3, H, W) float32 in [0, 1]."""
    import torch  # noqa: PLC0415

    array = np.array(image.convert("RGB"))  # (H, W, 3)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div_(255)


def to_image(tensor: Tensor) -> Image.Image:
    """Return (3, H, W) or (1, 3, H, W) as a picture: clamped to [0, 1], rounded to 8 bits.

    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    import torch  # noqa: PLC0415

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
    import torch  # noqa: PLC0415

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
    """Write an RGB PNG atomically, without metadata: equal pixels give equal bytes."""
    picture = image if isinstance(image, Image.Image) else to_image(image)
    clean = picture.convert("RGB")  # always a copy
    clean.info = {}
    with atomic(path) as part:
        clean.save(part, format="PNG", compress_level=PNG_LEVEL)


@dataclass(frozen=True)
class Survey:
    """Contents of a folder: its pictures, and what is left out."""

    root: Path
    pictures: list[Path]
    """Files with a picture's suffix, sorted by relative POSIX path; only reading checks them."""
    others: list[Path]
    """Files without a picture's suffix."""
    linked: list[Path]
    """Folders that are links, which are not followed, as they may form a cycle."""

    def left_out(self) -> list[str]:
        """Return a sentence for everything left out; none for a folder of pictures only."""
        lines = [f"{readable(path)}: left out, a linked folder" for path in self.linked]
        kinds = Counter(readable(path.suffix.lower()) or "without suffix" for path in self.others)
        if kinds:
            listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            lines.append(f"{readable(self.root)}: left out, not called like pictures: {listed}")
        return lines


def survey(folder: Path | str) -> Survey:
    """List everything below ``folder`` except hidden files and folders."""
    root = Path(folder)
    files: list[Path] = []
    linked: list[Path] = []
    for where, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked += [Path(where, name) for name in folders if Path(where, name).is_symlink()]
        files += [Path(where, name) for name in names if not name.startswith(".")]
    files.sort(key=lambda path: path.relative_to(root).as_posix())
    return Survey(
        root,
        [path for path in files if path.suffix.lower() in SUFFIXES],
        [path for path in files if path.suffix.lower() not in SUFFIXES],
        linked,
    )


def find(folder: Path | str) -> list[Path]:
    """Return every picture below ``folder``, by suffix, sorted by relative POSIX path.

    Nested folders are searched; hidden files and folders and linked folders are not (``survey``
    names the latter).
    """
    return survey(folder).pictures


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of a picture as stored, without decoding it.

    Raises:
        ImageError: missing or no picture.
    """
    with _named(path):
        require_regular(path)
        with path.open("rb") as file:
            return open_header(path, file).size
