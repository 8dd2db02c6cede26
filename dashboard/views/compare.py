"""Compare: a photograph, its painting, and the stylised pictures of all methods."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from atelier.core.markdown import code
from atelier.core.paths import SNAPSHOTS
from atelier.metrics.catalogue import AFTER, FIGURES, HEADLINE
from atelier.reports import outputs
from atelier.reports.outputs import strips
from parts import components, pictures, project, sheet
from parts.project import Project, literal

STRIPS = {
    SNAPSHOTS: "The same test photographs during the training, or during their optimisation.",
    "strength": "From the photograph (0) to its painting's style (1).",
    "mixture": "From one painting's style (0) to another's (1).",
    "to_art": "Photograph → painting → photograph. CAM: the network's class activation map.",
    "to_photo": "Painting → photograph → painting. CAM: the network's class activation map.",
}
CONTENT, STYLE, DENOISED = "content", "style", " denoised"
NO_PICTURE = {"failed", "running"}  # a method's states in which its last pictures are not its own


def page() -> None:
    """Draw the page from top to bottom."""
    found = project.begin("Compare")
    photos = {path.stem: path for path in outputs.test_photos(found.root)}
    if not photos:
        return
    photo = choose(photos)
    rows = choose_methods(found, photo)
    factor = view(found, photos[photo], rows)
    cards(found, photos[photo], rows, factor)
    two(found, photos[photo])
    more(found, photo)
    link(photo, rows)


def choose(photos: Mapping[str, Path]) -> str:
    """Return the photograph to show; it is part of the URL, so a view can be shared."""
    asked = st.query_params.get("photo")
    if asked is not None and asked not in photos:
        st.warning("The link names a test photograph that does not exist; showing another.")
    names = list(photos)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Test photograph", names, key="photo", bind="query-params", width=220)
        place = names.index(name)
        for label, icon, step in (("Previous", "arrow_back", -1), ("Next", "arrow_forward", 1)):
            to, sign = names[(place + step) % len(names)], f":material/{icon}:"
            alone = len(names) == 1
            st.button(label, icon=sign, on_click=turn, args=(to,), disabled=alone)
        st.caption(f"{place + 1} of {len(names)}", width="content")
        with st.container(key="wide-film"):
            components.filmstrip("Test photographs", photos, name, "film", turn)
    return name


def turn(photo: str) -> None:
    """Switch to a photograph; Streamlit updates the URL."""
    st.session_state["photo"] = photo


def choose_methods(found: Project, photo: str) -> list[dict[str, Any]]:
    """Return the rows of the methods to show; list those without anything to show."""
    rows = {str(row["method"]): row for row in found.methods.to_dict("records")}
    there = [name for name, row in rows.items() if has_something(found.root, row, photo)]
    absent = [name for name in rows if name not in there]
    chosen = there
    if there:
        groups(rows, there)
        chosen = st.pills(
            "Methods", there, selection_mode="multi", default=there, key="methods",
            bind="query-params", wrap=True,
        )  # fmt: skip
    if absent and not found.fresh:
        command = code(f"dvc repro evaluate@{absent[0]}")
        st.caption(f"Not run yet: {project.listed(absent)}; for one of them, {command}.")
    return [{str(key): value for key, value in rows[name].items()} for name in chosen]


def groups(rows: Mapping[str, Mapping[Any, Any]], there: list[str]) -> None:
    """Draw buttons that choose all methods, the best of each kind, or those of one kind."""
    kinds: dict[str, list[str]] = {}
    for name in there:  # best first
        kinds.setdefault(str(rows[name]["kind"]), []).append(name)
    known = {kind: names for kind, names in kinds.items() if kind}
    if len(known) < 2:
        return
    choices = {"All": there, "Best of each kind": [names[0] for names in known.values()]}
    choices |= {project.title(kind): names for kind, names in known.items()}
    with st.container(horizontal=True, gap="xsmall"):
        for label, names in choices.items():
            st.button(label, key=f"group {label}", type="tertiary", on_click=pick, args=(names,))


def pick(names: list[str]) -> None:
    """Show these methods; Streamlit carries them into the address, which remembers them."""
    st.session_state["methods"] = names


def has_something(root: Path, row: Mapping[Any, Any], photo: str) -> bool:
    """Return whether a method has a picture, a score or a failure to show."""
    return row["status"] != "not run" or outputs.stylised(root, row["method"], photo) is not None


def view(found: Project, photo: Path, rows: list[dict[str, Any]]) -> int:
    """Draw the controls of the view; return the magnification."""
    usual = pictures.magnification(pictures.look(photo).width)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        factor = pictures.zoom("size", usual)
        if any(outputs.denoised(found.root, row["method"], photo.stem) for row in rows):
            st.toggle("Denoised", key="denoised", bind="query-params")
        components.lightbox(described(found.root, photo, rows))
        with st.container(key="wide-loupe"):
            components.loupe()
    return factor


def cards(found: Project, photo: Path, rows: list[dict[str, Any]], factor: int) -> None:
    """Draw content, style and every method side by side."""
    originals = photo_and_painting(found.root, photo)
    with pictures.grid("grid", factor):
        for name, path, alt in originals:
            caption = path.stem if path else pictures.NO_PAINTING
            pictures.card(name, path, caption, alt, factor=factor)
        for row in rows:
            method(found.root, row, photo.stem, factor)
    shown = [(name, path) for name, path, _ in originals]
    shown += [labelled(found.root, row, photo.stem) for row in rows]
    st.download_button(
        "Download as PNG", partial(sheet.png, shown), f"{photo.stem}.png", "image/png",
        icon=":material/download:", on_click="ignore", help="The pictures above, labelled.",
    )  # fmt: skip


def photo_and_painting(root: Path, photo: Path) -> list[tuple[str, Path | None, str]]:
    """Return name, file and description of a photograph and of the painting it is paired with."""
    painting = outputs.painting_for(root, photo.stem)
    title = painting.stem if painting else pictures.NO_PAINTING
    return [
        (CONTENT, photo, f"the photograph {photo.stem}"),
        (STYLE, painting, f"the painting {title}"),
    ]


def described(root: Path, photo: Path, rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return name and description of each picture that the grid draws, in its order."""
    found = photo_and_painting(root, photo)
    for row in rows:
        if row["status"] not in NO_PICTURE:
            path, alt, _ = made(root, str(row["method"]), photo.stem)
            found.append((str(row["method"]), path, alt))
    return [(name, alt) for name, path, alt in found if path and not pictures.look(path).problem]


def method(root: Path, row: Mapping[str, Any], photo: str, factor: int) -> None:
    """Draw a method's picture with its score, or the reason why there is none."""
    name, status = str(row["method"]), str(row["status"])
    if status in NO_PICTURE:
        pictures.card(name, None, status, reason=str(row["error"]))
        return
    path, alt, figure = made(root, name, photo)
    score = " · ".join(filter(None, ("ok", headline(row, figure, FIGURES[HEADLINE].label))))
    pictures.card(name, path, score if status == "ok" else "not scored yet", alt, factor=factor)


def headline(row: Mapping[str, Any], figure: str, called: str) -> str:
    """Return a figure by what it is called; "" for none: fewer pictures than all were denoised."""
    return f"{called} {FIGURES[HEADLINE].text(row[figure])}" if pd.notna(row[figure]) else ""


def made(root: Path, name: str, photo: str) -> tuple[Path | None, str, str]:
    """A method's picture as one wants to see it, what it shows, and the figure that belongs to it.

    The denoised one where that is asked for and there is one.
    """
    alt = f"{photo} by {name}"
    if st.session_state.get("denoised") and (clean := outputs.denoised(root, name, photo)):
        return clean, f"{alt}, denoised", AFTER + HEADLINE
    return outputs.stylised(root, name, photo), alt, HEADLINE


def labelled(root: Path, row: Mapping[str, Any], photo: str) -> tuple[str, Path | None]:
    """A method's picture with its label in a sheet: name and score."""
    name = str(row["method"])
    path, _, figure = made(root, name, photo)
    if row["status"] != "ok":
        return name, path if row["status"] == "not run" else None
    score = headline(row, figure, FIGURES[HEADLINE].heading)  # the sheet's font is ASCII
    return f"{name} {score}".strip(), path


def two(found: Project, photo: Path) -> None:
    """Draw the overlay slider of any two of the pictures."""
    sides = offered(found.root, photo, list(found.methods["method"]))
    if len(sides) < 2:
        return
    st.header("Overlay slider", anchor=False)
    names = list(sides)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        left = st.selectbox("Left", names, key="left", bind="query-params", width=240)
        right = st.selectbox(
            "Right",
            names,
            index=min(2, len(names) - 1),
            key="right",
            bind="query-params",
            width=240,
        )
    one, other = (components.Shown.file(name, sides[name]) for name in (left, right))
    if isinstance(one, str) or isinstance(other, str):
        problems = [side for side in (one, other) if isinstance(side, str)]
        st.markdown(literal("; ".join(problems)))
        return
    components.slider(one, other, "slider")


def offered(root: Path, photo: Path, methods: list[str]) -> dict[str, Path]:
    """Return all pictures of this photograph, by their names in the menu."""
    found = {CONTENT: photo, STYLE: outputs.painting_for(root, photo.stem)}
    for name in methods:
        found[name] = outputs.stylised(root, name, photo.stem)
        found[name + DENOISED] = outputs.denoised(root, name, photo.stem)
    return {name: path for name, path in found.items() if path}


def more(found: Project, photo: str) -> None:
    """Draw snapshots and strips of strengths and mixtures, by method."""
    every = {name: strips(found.root, name) for name in found.params.method_names}
    left = {name: kinds for name, kinds in every.items() if kinds}
    if not left:
        return
    st.header("Snapshots and interpolations", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Method", list(left), key="method", bind="query-params", width=240)
        titles = list(left[name])
        kind = st.selectbox(
            "Strip", titles, format_func=project.title, key="strip", bind="query-params", width=240
        )
    st.caption(STRIPS.get(kind, ""))
    pictures.rows(kind, left[name][kind], name, photo)


def link(photo: str, rows: list[dict[str, Any]]) -> None:
    """Show the full URL of this view, to copy."""
    methods = [str(row["method"]) for row in rows]
    query = {**st.query_params.to_dict(), "photo": photo, "methods": methods}
    base = str(st.context.url or "").split("?")[0]
    with st.popover("Link to this view", icon=":material/link:"):
        st.code(f"{base}?{urlencode(query, doseq=True)}", language=None, wrap_lines=True)


page()
