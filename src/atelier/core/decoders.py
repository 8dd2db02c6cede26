"""Picture formats that are opened, and limits that a file's header must respect."""

from __future__ import annotations

import stat
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from PIL import Image, features

SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp"),
        *(".gif", ".avif", ".jp2", ".j2k", ".jpx", ".heic", ".heif", ".hif"),
    )
)
"""Suffixes of pictures, in lower case; reading one says if an optional decoder is missing."""
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "HEIF")
"""Decoders in use; others Pillow knows run outside programs (EPS) or are rarely tested."""
MAX_PIXELS = 80_000_000
"""Larger pictures are refused by their header; below Pillow's own limit of 89 million, so that its
warning never appears."""
MAX_SIDE = 65_535
"""Pixels: the limit of JPEG. A single row of 79 million pixels would pass ``MAX_PIXELS``, but
resizing it would exhaust memory."""
MAX_ASPECT = 500
"""Longer side over shorter side; the longest panoramas and strips stay below 100."""
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
HEIF_PLUGIN = "pillow_heif"


class RefusedError(Exception):
    """A file that is not decoded; the message continues a sentence that begins with its name."""


def require_regular(path: Path) -> None:
    """Refuse files whose reading would block or never end: pipes, sockets, devices.

    Raises:
        RefusedError: ``path`` is neither a file nor a link to one.
        OSError: it is missing, a circular link, or not accessible.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder raises its own error
        raise RefusedError("is not a regular file (a pipe, socket or device)")


def is_regular(path: Path) -> bool:
    """Return whether ``path`` is a file, or a link that ends at one."""
    with suppress(OSError):  # a circular link, no permission
        return stat.S_ISREG(path.stat().st_mode)
    return False


def open_header(path: Path | str, file: BinaryIO) -> Image.Image:
    """Open a picture by reading its header only.

    ``Image.open`` is not used: it warns about large pictures, and suppressing a warning would
    change the filters of all threads.
    """
    prefix = file.read(32)
    if not prefix:
        raise RefusedError("is empty (0 bytes)")
    Image.init()
    if _is_heif(prefix):
        _register_heif()
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory and accept is not None and accept(prefix) is True:
            file.seek(0)
            return factory(file, str(path))
    if prefix[4:12] in {b"ftypavif", b"ftypavis"} and not features.check("avif"):
        raise RefusedError("is AVIF, which this Pillow cannot read; install a newer one")
    known = ", ".join(name for name in FORMATS if name in Image.OPEN)
    raise RefusedError(f"is not a picture of a known kind ({known}), whatever its name says")


def _is_heif(prefix: bytes) -> bool:
    return prefix[4:8] == b"ftyp" and prefix[8:12] in HEIF_BRANDS


def _register_heif() -> None:
    """Register Pillow's decoder for HEIC, the format of telephones; an optional package."""
    if "HEIF" in Image.OPEN:
        return
    try:
        import_module(HEIF_PLUGIN).register_heif_opener()
    except ImportError:
        reason = "is HEIC, which needs an optional package: pip install pillow-heif"
        raise RefusedError(f"{reason}, or save it as JPEG") from None


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse picture sizes that would exhaust the machine.

    Raises:
        RefusedError: too many pixels, too long a side, or much longer than wide.
    """
    found = f"is too large: {width}×{height} pixels"
    if width * height > max_pixels:
        raise RefusedError(f"{found}, over the limit of {max_pixels / 1e6:g} megapixels")
    if max(width, height) > MAX_SIDE:
        raise RefusedError(f"{found}, over the limit of {MAX_SIDE} for a side")
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise RefusedError(f"{found}, one side is more than {MAX_ASPECT} times the other")
