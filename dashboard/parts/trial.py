"""Parts of *Try it*: the visitor's pictures, the options and the results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from atelier.core.config import UserError
from atelier.core.markdown import code
from atelier.reports import outputs
from parts import components, project, systems
from parts.project import Project, literal

TYPES = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif"]
MEGABYTES = 50
SIDES = (256, 512, 1024, 2048)
SHOWN = 432
"""Width in CSS pixels; downloads have the full size."""
SLOW = frozenset({"optimisation", "diffusion"})
"""Kinds that take minutes per picture."""
OWN = "a picture of my own"


@dataclass(frozen=True)
class Upload:
    """A picture that a visitor brought; decoded when it is known how large it is wanted."""

    content: bytes
    name: str
    size: tuple[int, int]
    """As it is stored, upright or not."""

    @property
    def side(self) -> int:
        """The longer one, in pixels."""
        return max(self.size)

    @cached_property
    def digest(self) -> str:
        """What tells one photograph from another."""
        return hashlib.sha256(self.content).hexdigest()


Made = dict[str, bytes | str]
"""Method, or its heat map → the bytes of its PNG, or the reason why there is none."""
Strips = dict[str, bytes]
"""Method → the sheet of its strips as PNG."""


def trial(found: Project) -> None:
    """Draw the page: photograph, methods, results."""
    names = ready(found, systems.applicable(found.root, found.params))
    if not names:
        return
    st.caption("Your pictures stay on this machine and are not stored.")
    photo = upload("Your photograph", "own photo")
    small = shrink(photo) if photo else None
    kind = {name: systems.kind(found.root, found.params, name) for name in names}
    chosen = choose_methods(names, kind)
    say_which(found, chosen)
    kinds = {kind[name] for name in chosen}
    side = photo.side if photo else SIDES[-1]
    style = choose_style(found, side) if kinds & {"arbitrary", *SLOW} else None
    styles = mixed(found, style, side) if style else None
    both = any("to_photo" in systems.directions(found.root, found.params, n) for n in chosen)
    heat = any(systems.has_heatmap(found.root, found.params, name) for name in chosen)
    guided = any(systems.guides(found.root, found.params, name) for name in chosen)
    asked = {"strength": "arbitrary" in kinds, "direction": both, "stroke": style is not None}
    look = choose_look(**asked, heatmap=heat)
    strip = bool(kinds & {"arbitrary", "unpaired"}) and choose_strip()
    if isinstance(styles, list) and (mask := choose_mask()):
        styles, look = [(one, 1.0) for one, _ in styles], replace(look, mask=mask)
    if guided and isinstance(styles, Image.Image):
        look = choose_regions(look)
    if photo is None or small is None:
        return
    if st.button("Stylise", type="primary", disabled=not chosen):
        made = run(found, chosen, (small, styles), look, strip=strip)
        st.session_state["made"] = (photo.digest, systems.png(small), small.size, *made)
    kept = st.session_state.get("made")
    if kept and kept[0] == photo.digest:  # discard the results of another photograph
        show(*kept[1:])


def ready(found: Project, reasons: Mapping[str, str]) -> list[str]:
    """Return the methods that can be applied now; list why the others cannot."""
    names = [name for name, reason in reasons.items() if not reason]
    lacking = {name: reason for name, reason in reasons.items() if reason}
    if not names and not found.fresh:
        st.info("No method can be applied yet.", icon=":material/info:")
    if lacking and not found.fresh:
        with st.expander(f"{len(lacking)} of {len(reasons)} methods cannot be applied"):
            lines = [f"- **{literal(name)}:** {literal(why)}" for name, why in lacking.items()]
            st.markdown("\n".join(lines))
    return names


def choose_methods(names: list[str], kind: Mapping[str, str]) -> list[str]:
    """Return the methods to apply; by default a fast one."""
    quick = [name for name in names if kind[name] not in SLOW]
    default = (quick or names)[:1]
    chosen = st.pills(
        "Methods", names, selection_mode="multi", default=default, key="apply", format_func=literal
    )
    slow = [name for name in chosen if kind[name] in SLOW]
    if slow:
        st.caption(f"{project.listed(slow)}: takes minutes per picture.")
    return chosen


def say_which(found: Project, chosen: list[str]) -> None:
    """Show which weights the chosen methods use: of the project's training, or of the zoo."""
    used = {name: systems.used(found.root, found.params, name) for name in chosen}
    lines = [f"{code(name)}: {literal(text)}" for name, text in used.items() if text]
    if lines:
        st.caption("  \n".join(lines))


def upload(label: str, key: str) -> Upload | None:
    """Return a picture the visitor uploads; show what is wrong with it."""
    limit = f"At most {MEGABYTES} MB; {', '.join(TYPES)}."
    file = st.file_uploader(label, TYPES, key=key, max_upload_size=MEGABYTES, help=limit)
    if file is None:
        return None
    content = file.getvalue()
    try:
        return Upload(content, file.name, systems.size(content, file.name))
    except UserError as error:
        st.error(literal(error))
        return None


def opened(picture: Upload, side: int) -> Image.Image | None:
    """Return a picture no larger than ``side``; show what is wrong with it."""
    try:
        return systems.opened(picture.content, picture.name, side)
    except UserError as error:
        st.error(literal(error))
        return None


def shrink(photo: Upload) -> Image.Image | None:
    """Return the photograph, shrunk to the chosen size; show a note if it was."""
    most = photo.side
    sides = [*(side for side in SIDES if side < most), most]
    side = most
    if len(sides) > 1:
        hint = "Larger takes longer; very large pictures are processed in tiles."
        first = sides[min(1, len(sides) - 2)]
        side = st.select_slider("Longest side in pixels", sides, first, help=hint, width=320)
    small = opened(photo, side)
    if small and side < most:
        turned = (small.width > small.height) != (photo.size[0] > photo.size[1])
        sizes = photo.size[::-1] if turned else photo.size, small.size
        was, now = (f"{width} × {height}" for width, height in sizes)
        st.info(f"The photograph has {was} pixels and is shrunk to {now}.")
    return small


def choose_style(found: Project, side: int) -> Image.Image | None:
    """Return a painting of the project, or one the visitor uploads, no larger than ``side``."""
    files = {path.stem: path for path in outputs.paintings(found.root)}
    name = st.selectbox("Style", [*files, OWN], key="style", width=320)
    if files:
        components.filmstrip("Paintings", files, name, "paintings", turn)
    if name == OWN:
        own = upload("The style", "own style")
        return opened(own, side) if own else None
    return painting(files[name], side)


def painting(path: Path, side: int) -> Image.Image | None:
    """Return a painting of the project, no larger than ``side``; show what is wrong with it."""
    try:
        return opened(Upload(path.read_bytes(), path.name, (0, 0)), side)
    except OSError as error:
        st.error(literal(error))
        return None


def turn(style: str) -> None:
    """Take another painting."""
    st.session_state["style"] = style


def mixed(found: Project, style: Image.Image, side: int) -> systems.Style:
    """Return the style, or a mixture with further paintings of the project."""
    files = {path.stem: path for path in outputs.paintings(found.root)}
    hint = "Methods that optimise take further paintings in their parts of a mask only."
    chosen = st.multiselect(
        "Mixed with", [*files], key="others", help=hint, placeholder="Nothing", width=320
    )
    others = []
    for name in chosen:
        label = f"Weight of {literal(name)}"
        share = st.slider(label, 0.0, 1.0, 0.3, 0.05, key=f"share-{name}", width=320)
        if other := painting(files[name], side):
            others.append((other, share))
    rest = max(0.0, 1 - sum(share for _, share in others))
    return [(style, rest), *others] if others else style


def choose_mask() -> Image.Image | None:
    """Return a grey picture that says where each painting applies, if there is one."""
    hint = (
        "Black parts of it take the style, white ones the last painting, greys between them those "
        "between, in their order; weights do not count."
    )
    with st.expander("A painting per region"):
        st.caption(hint)
        own = upload("The mask", "mask")
    return opened(own, SIDES[-1]) if own else None


def choose_regions(look: systems.Look) -> systems.Look:
    """Return the options with the masks of photograph and painting, if both are there."""
    hint = (
        "Two grey pictures: an area of the photograph takes its style from the painting's area of "
        "the same grey. Methods that are not guided by regions leave them out."
    )
    with st.expander("Regions"):
        st.caption(hint)
        uploads = (
            upload("Mask of the photograph", "photo mask"),
            upload("Mask of the style", "style mask"),
        )
        if any(uploads) and not all(uploads):
            st.info("The other mask is missing: without it there are no regions.")
    mask, style_mask = (opened(own, SIDES[-1]) if own else None for own in uploads)
    return replace(look, mask=mask, style_mask=style_mask) if mask and style_mask else look


def choose_look(*, strength: bool, direction: bool, stroke: bool, heatmap: bool) -> systems.Look:
    """Return the options, of which those are asked for that a chosen method has."""
    with st.container(horizontal=True, gap="medium"):
        return _look(strength=strength, direction=direction, stroke=stroke, heatmap=heatmap)


def _look(*, strength: bool, direction: bool, stroke: bool, heatmap: bool) -> systems.Look:
    share, way, size, heat = None, None, None, False
    if strength:
        hint = "For methods that take any painting. 0: the photograph; 1: the full style."
        share = st.slider("Strength", 0.0, 1.0, 1.0, 0.05, key="strength", help=hint, width=320)
    if direction:
        hint = "Of systems trained in both. to_photo makes a photograph of a painting."
        way = st.selectbox("Direction", systems.DIRECTIONS, key="direction", help=hint, width=320)
    if stroke:
        hint = "Size of the painting relative to the photograph: above 1 its strokes are larger."
        least, most = systems.STROKES
        size = st.slider("Stroke", least, most, 1.0, 0.25, key="stroke", help=hint, width=320)
    hint = "keep: the method's. Others: the photograph's, by chroma, CORAL or histogram."
    colour = st.selectbox("Colour", systems.COLOURS, key="colour", help=hint, width=320)
    tint = None if colour == systems.COLOURS[0] else colour
    if heatmap:
        hint = "Where the network looks, beside its picture: blue nowhere, red most."
        heat = st.toggle("Heat map", key="heatmap", help=hint)
    return systems.Look(share, way, tint, None if size == 1.0 else size, heatmap=heat)


def choose_strip() -> bool:
    """Return whether strips are wanted as well."""
    hint = (
        "Strengths from 0 to 1, mixtures of the first two paintings; of others, the way back. CAM: "
        "the network's class activation map, as in the heat map."
    )
    return st.toggle("Strip", key="strip", help=hint)


def run(
    found: Project,
    names: list[str],
    pictures: tuple[Image.Image, systems.Style],
    look: systems.Look,
    *,
    strip: bool,
) -> tuple[Made, Strips]:
    """Apply the methods one by one; a failure does not stop the others."""
    made: Made = {}
    strips: Strips = {}
    bar = st.progress(0.0)
    for place, name in enumerate(names):
        show_part = partial(_show_part, bar, f"{name} ({place + 1} of {len(names)})")
        show_part(0.0)
        try:
            applied = systems.load(found.root, found.params, name)
            for one in looks(applied, look):
                picture = systems.stylised(applied, *pictures, one, show_part)
                made[one.label(name)] = systems.png(picture)
            if strip and (sheet := systems.stripped(applied, *pictures, look)):
                strips[name] = systems.png(sheet)
        except UserError as error:
            made[name] = str(error)
    bar.empty()
    return made, strips


def looks(applied: systems.Applied, look: systems.Look) -> list[systems.Look]:
    """Return the options of the picture and, if asked for and there is one, of the heat map."""
    plain = replace(look, heatmap=False)
    return [plain, look] if look.heatmap and applied.has_heatmap else [plain]


def _show_part(bar: DeltaGenerator, text: str, part: float) -> None:
    bar.progress(part, literal(text))


def show(photo: bytes, size: tuple[int, int], made: Made, strips: Strips) -> None:
    """Draw each result with its name and a download button, and the strips below."""
    st.header("Results", anchor=False)
    done = {name: content for name, content in made.items() if isinstance(content, bytes)}
    for name, problem in made.items():
        if isinstance(problem, str):
            st.error(f"**{literal(name)}** {literal(problem)}")
    with st.container(key="linked-plain-results", horizontal=True):
        result("your photograph", photo, size)
        for name, content in done.items():
            result(name, content, size)
    for name, content in strips.items():
        result(f"{name}-strip", content)
    if done:
        overlay({"your photograph": photo, **done}, size)


def result(name: str, content: bytes, size: tuple[int, int] | None = None) -> None:
    """Draw a result with a download button; without a size, a sheet, which can be moved sideways.

    A sheet as wide as a phone could not be read.
    """
    with st.container(width=min(size[0], SHOWN) if size else "stretch", gap="xsmall"):
        st.markdown(f"**{literal(name)}**")
        with st.container(key=None if size else f"sheet-{name}"):
            st.image(content, width="stretch", output_format="PNG", alt=name)
        label, file = "Download PNG", f"{name.replace(' ', '_')}.png"
        icon, kind = ":material/download:", "image/png"
        st.download_button(
            label, content, file, kind, key=f"get {name}", icon=icon, on_click="ignore"
        )


def overlay(pictures: Mapping[str, bytes], size: tuple[int, int]) -> None:
    """Draw the overlay slider of any two of them."""
    names = list(pictures)
    with st.container(horizontal=True):
        left = st.selectbox("Left", names, width=240)
        right = st.selectbox("Right", names, index=1, width=240)
    both = [components.Shown(name, pictures[name], size) for name in (left, right)]
    components.slider(both[0], both[1], "tried")
