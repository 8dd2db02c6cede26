"""Custom components: a thumbnail picker, a linked zoom, a full-screen view, an overlay slider.

Their HTML, CSS and JavaScript are in ``assets/`` and sent inline: nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from parts.pictures import address, bytes_of, look, magnification, thumbnail

ASSETS = Path(__file__).parent / "assets"
WINDOW = 48
"""Number of thumbnails shown at once, to keep sets of thousands fast."""
SLIDER_SIDE = 640
"""Small pictures are enlarged to about this width under the slider."""


def asset(name: str) -> str:
    """Return the text of a file in ``assets/``."""
    return (ASSETS / name).read_text(encoding="utf-8")


def _component(name: str) -> st.components.v2.types.ComponentRenderer:
    html, css, js = (asset(f"{name}.{kind}") for kind in ("html", "css", "js"))
    return st.components.v2.component(f"atelier_{name}", html=html, css=css, js=js)


FILMSTRIP, LOUPE, LIGHTBOX, SLIDER = (
    _component(name) for name in ("filmstrip", "loupe", "lightbox", "slider")
)


def filmstrip(
    label: str, files: Mapping[str, Path], chosen: str, key: str, pick: Callable[[str], None]
) -> None:
    """Draw thumbnails around the chosen picture; call ``pick`` with the name of another."""
    names = list(files)
    start = names.index(chosen) // WINDOW * WINDOW if chosen in names else 0
    shown = names[start : start + WINDOW]
    data = {
        "label": label,
        "chosen": chosen,
        "pictures": [{"name": name, "src": thumbnail(files[name])} for name in shown],
        "before": names[start - WINDOW] if start else "",
        "after": names[start + WINDOW] if start + WINDOW < len(names) else "",
    }

    def picked() -> None:
        if name := st.session_state[key].get("picked"):
            pick(name)

    FILMSTRIP(key=key, data=data, on_picked_change=picked)


def loupe() -> None:
    """Zoom all pictures of the page together; the position is part of the URL."""
    asked = st.query_params.get("zoom", "")
    found = LOUPE(key="loupe", data={"view": asked}, on_view_change=lambda: None)
    _remember("zoom", found.view)


def _remember(name: str, value: str | None) -> None:
    """Write a component's state into the URL; None: it has not said anything yet."""
    if value:
        st.query_params[name] = value
    elif value == "" and name in st.query_params:
        del st.query_params[name]


def lightbox(shown: Sequence[tuple[str, str]]) -> None:
    """Draw a button that shows the page's linked pictures one by one in full screen.

    Arrow keys step through them; the picture that is shown is part of the URL.

    Args:
        shown: name and description (alt) of each picture, in order.
    """
    data = {
        "pictures": [{"name": name, "alt": alt} for name, alt in shown],
        "shown": st.query_params.get("full", ""),
    }
    found = LIGHTBOX(key="lightbox", data=data, on_shown_change=lambda: None)
    _remember("full", found.shown)


class Shown(NamedTuple):
    """A picture for the slider: its name, the bytes of its PNG, its size in pixels."""

    name: str
    content: bytes
    size: tuple[int, int]

    @classmethod
    def file(cls, name: str, path: Path) -> Shown | str:
        """Return a picture of ``results/``, or the reason why it cannot be shown."""
        seen = look(path)
        content = None if seen.problem else bytes_of(path)
        if content is None:
            return seen.problem or f"{path.name} is missing"
        return cls(name, content, (seen.width, seen.height))


def slider(left: Shown, right: Shown, key: str) -> None:
    """Overlay two pictures with a line to drag; the right one takes the left one's size."""
    width, height = left.size
    factor = magnification(width, SLIDER_SIDE)
    data = {
        "left": {"name": left.name, "alt": left.name, "src": address(left.content)},
        "right": {"name": right.name, "alt": right.name, "src": address(right.content)},
        "width": width * factor,
        "height": height * factor,
        "enlarged": factor > 1,
    }
    SLIDER(key=key, data=data)
