"""Pictures of ``results/`` on a page: checked, pixel-exact, with cached thumbnails.

The pictures below ``results/`` are the bench's own 8-bit PNGs, so they are read by Pillow alone:
``atelier.core.images`` would import torch, which delays the first view by seconds.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from PIL import Image, UnidentifiedImageError
from streamlit.delta_generator import DeltaGenerator

from parts.project import literal

SIDE = 256
"""Width in CSS pixels up to which pictures are enlarged, by integer factors."""
THUMB = 72
"""Long side of a thumbnail in pixels; displayed at two thirds, sharp on high-resolution screens."""
NO_PAINTING = "no painting is paired with it"
SIZES = ("1", "2", "3", "4")
"""Magnifications to choose from; text, as in the URL."""
Stamp = tuple[int, int]


class Look(NamedTuple):
    """Size of a picture in pixels, or why it cannot be shown."""

    width: int
    height: int
    problem: str = ""


def look(path: Path) -> Look:
    """Decode a picture once; the result is cached until the file changes."""
    stamp = _stamp(path)
    return Look(*_look(str(path), stamp)) if stamp else Look(0, 0, f"{path.name} is missing")


def bytes_of(path: Path) -> bytes | None:
    """Return a file's content; None if it has vanished since it was looked at."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def thumbnail(path: Path, side: int = THUMB) -> str:
    """Return a copy of at most ``side`` pixels as a data address; "" where none can be shown."""
    stamp = _stamp(path)
    if stamp and not look(path).problem:
        with suppress(OSError):  # it has vanished since
            return _thumbnail(str(path), stamp, side)
    return ""


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@st.cache_data(max_entries=20_000, show_spinner=False)
def _look(path: str, stamp: Stamp) -> tuple[int, int, str]:  # noqa: ARG001 - part of the key
    """Return tuples, not ``Look``, as the cache outlives a reload of this module."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.width, picture.height, ""
    except FileNotFoundError:
        reason = "is missing"
    except UnidentifiedImageError:
        reason = "is not a picture of a known kind"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = f"is broken or truncated ({error})"
    return 0, 0, f"{Path(path).name} {reason}"


@st.cache_data(max_entries=20_000, show_spinner=False)
def _thumbnail(path: str, stamp: Stamp, side: int) -> str:  # noqa: ARG001 - part of the key
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    kept = BytesIO()
    small.save(kept, "WEBP", quality=75)
    return address(kept.getvalue(), "image/webp")


def address(content: bytes, kind: str = "image/png") -> str:
    """Return the bytes as a data URL, which needs no server."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def magnification(width: int, side: int = SIDE) -> int:
    """Return the integer factor that enlarges ``width`` pixels to about ``side``."""
    return max(1, side // width) if width else 1


def zoom(key: str, usual: int) -> int:
    """Draw the choice of a magnification, which is part of the URL; return it."""
    default = SIZES[min(usual, len(SIZES)) - 1]
    chosen = st.segmented_control(
        "Zoom", SIZES, default=default, required=True, key=key, bind="query-params"
    )
    return int(chosen or default)


def grid(name: str, factor: int) -> DeltaGenerator:
    """Return a wrapped row of cards whose pictures are zoomed together (see ``loupe``)."""
    kind = "enlarged" if factor > 1 else "plain"
    return st.container(key=f"linked-{kind}-{name}", horizontal=True, gap="xsmall")


def card(
    head: str,
    path: Path | None,
    caption: str,
    alt: str = "",
    *,
    factor: int = 1,
    reason: str = "no picture",
) -> None:
    """Draw a titled picture, ``factor`` CSS pixels for each of its own, or ``reason`` instead."""
    seen, content = look(path) if path else Look(0, 0, reason), None
    if path and not seen.problem:
        content = bytes_of(path)
        seen = seen if content else Look(0, 0, f"{path.name} is missing")
    width = seen.width * factor or SIDE
    with st.container(width=width, gap="xxsmall"):
        st.markdown(f"**{literal(head)}**")
        if content:
            # By default Streamlit converts it to JPEG, and without a width it shrinks wide
            # pictures.
            st.image(content, width=width, output_format="PNG", alt=alt)
        else:
            with st.container(height=SIDE // 2, border=True):
                st.markdown(literal(seen.problem))
        st.caption(literal(caption))


def rows(name: str, cells: Mapping[str, Mapping[str, Path]], by: str, first: str = "") -> None:
    """Draw strips of pictures: one row per photograph, that of ``first`` on top."""
    for row in sorted(cells, key=lambda row: row != first):
        factor = common_factor(cells[row].values())
        with grid(f"{name}-{row}", factor):
            for column, path in cells[row].items():
                card(column, path, row, f"{row} by {by}, {name} {column}", factor=factor)


def common_factor(paths: Iterable[Path]) -> int:
    """Return the common magnification of pictures shown side by side."""
    widths = [seen.width for path in paths if not (seen := look(path)).problem]
    return magnification(max(widths, default=0))
