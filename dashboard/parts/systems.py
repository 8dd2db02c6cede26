"""Trained methods applied to a visitor's pictures. Imports torch: only *Try it* imports this."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Lock

import streamlit as st
from PIL import Image

from atelier.core.config import Params, UserError
from atelier.core.device import pick_device
from atelier.core.images import ImageError, read, size_of
from atelier.methods.base import Kind
from atelier.methods.strotss import Strotss
from atelier.methods.unpaired import Unpaired
from atelier.nn.colour_transfer import COLOURS
from atelier.serving.look import DIRECTIONS, STROKES, Look, Style
from atelier.serving.saved_method import KEPT, recipe
from atelier.serving.strips import has_strip, strip
from atelier.serving.stylizer import Applied, applicable, load_applied, shrunk

__all__ = [
    "COLOURS",
    "DIRECTIONS",
    "STROKES",
    "Applied",
    "Look",
    "Style",
    "applicable",
    "directions",
    "guides",
    "has_heatmap",
    "kind",
    "load",
    "opened",
    "png",
    "size",
    "stripped",
    "stylised",
    "used",
]
ONE_AT_A_TIME = Lock()
"""Visitors share the methods, their memory and the machine."""


@st.cache_data(max_entries=8, show_spinner=False)
def opened(content: bytes, name: str, side: int) -> Image.Image:
    """Return an uploaded picture as the bench reads every picture: upright, 8-bit sRGB, no alpha.

    No side is longer than ``side``; of a much larger JPEG not all is decoded.

    Raises:
        UserError: not a picture, broken, or too large; names the uploaded file.
    """
    with _file(content, name) as path:
        return shrunk(read(path, max_side=side), side)


@st.cache_data(max_entries=8, show_spinner=False)
def size(content: bytes, name: str) -> tuple[int, int]:
    """Return width and height of an uploaded picture as it is stored, by its header alone.

    Raises:
        UserError: no picture; with the name it was uploaded under.
    """
    with _file(content, name) as path:
        return size_of(path)


@contextmanager
def _file(content: bytes, name: str) -> Iterator[Path]:
    """The bytes as a file, as the reader knows files only; errors name what was uploaded."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            yield Path(file.name)
        except ImageError as error:
            raise UserError(f"{name} {error.reason}") from None


def kind(root: Path, params: Params, name: str) -> Kind:
    """Return the kind, see ``methods.base``, without reading weights."""
    return recipe(root, params, name).kind


def directions(root: Path, params: Params, name: str) -> tuple[str, ...]:
    """Return the directions of an unpaired system; of others none."""
    system = recipe(root, params, name).system
    return system.directions if issubclass(system, Unpaired) else ()


def has_heatmap(root: Path, params: Params, name: str) -> bool:
    """Return whether a system can show where it looks, without reading weights."""
    system = recipe(root, params, name).system
    return issubclass(system, Unpaired) and system.has_heatmap


def guides(root: Path, params: Params, name: str) -> bool:
    """Return whether a system is guided by regions, without reading weights."""
    return issubclass(recipe(root, params, name).system, Strotss)


def used(root: Path, params: Params, name: str) -> str:
    """Return the origin of a method's weights, for display; "" if it has none."""
    return recipe(root, params, name).used


def load(root: Path, params: Params, name: str) -> Applied:
    """Load a method with its weights, cached until they or its settings change.

    Raises:
        UserError: not trained, or trained with other settings.
    """
    model = recipe(root, params, name).model
    stamps = []
    for path in sorted(model.glob("[!.]*")) if model else []:
        with suppress(FileNotFoundError):  # a training has just replaced it
            stamps.append((str(path), path.stat().st_mtime_ns))
    return _load(root, params, name, (params.key(name.partition(KEPT)[0]), tuple(stamps)))


@st.cache_resource(max_entries=8, show_spinner=False)
def _load(root: Path, _params: Params, name: str, stamp: object) -> Applied:  # noqa: ARG001 - key
    return load_applied(root, _params, name, pick_device(_params), "auto")


def stylised(
    applied: Applied,
    photo: Image.Image,
    style: Style,
    look: Look,
    progress: Callable[[float], None],
) -> Image.Image:
    """Return the result, of the photograph's size; call ``progress`` with the finished fraction.

    Raises:
        UserError: unsupported options, or not enough memory.
    """
    with ONE_AT_A_TIME:
        return applied.stylize(
            photo,
            _taken(applied, style, look),
            _supported(applied, look),
            watch=lambda iterate: progress(iterate.step / iterate.total),
        )


def stripped(applied: Applied, photo: Image.Image, style: Style, look: Look) -> Image.Image | None:
    """Return the sheet of a photograph's strips; None for a method that has none.

    Raises:
        UserError: not enough memory.
    """
    if not has_strip(applied):
        return None
    with ONE_AT_A_TIME:
        plain = replace(_supported(applied, look), mask=None)
        return strip(applied, photo, _taken(applied, style, look), plain)


def _supported(applied: Applied, look: Look) -> Look:
    """Return the options without those that a method does not have."""
    masked = applied.guides if look.style_mask else applied.needs_style
    return replace(
        look,
        stroke=look.stroke if applied.needs_style else None,
        mask=look.mask if masked else None,
        style_mask=look.style_mask if masked else None,
        strength=look.strength if applied.has_strength else None,
        direction=look.direction if look.direction in applied.directions else None,
        heatmap=look.heatmap and applied.has_heatmap,
    )


def _taken(applied: Applied, style: Style, look: Look) -> Style:
    """Return what a method takes of the paintings: all, the first, or none."""
    if not applied.needs_style or style is None or isinstance(style, Image.Image):
        return style if applied.needs_style else None
    return style if applied.mixes or look.mask else style[:1]


def png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG."""
    kept = BytesIO()
    picture.save(kept, "PNG", compress_level=1)
    return kept.getvalue()
