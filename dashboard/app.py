"""One test photograph, every method's picture of it, and the table of scores.

Start with ``streamlit run dashboard/app.py``; reads ``params.yaml`` and ``results/`` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.column_config import NumberColumn, TextColumn

from atelier import leaderboard, results
from atelier.config import Params, UserError, project_root
from atelier.images import ImageError, read
from atelier.strips import strips

# Width of a picture on the page, in CSS pixels.
SIDE = 256
NOT_FID = (
    "Not comparable with a published FID unless the features are inception_fid, "
    "and only between rows with the same features and the same numbers of pictures."
)
COLUMNS: dict[str, Any] = {
    "method": TextColumn("Method", help="Entry of `methods` in params.yaml.", pinned=True),
    "status": TextColumn("Status", help="ok, failed, running or not run."),
    "frechet": NumberColumn(
        "Fréchet distance ↓",
        help="From the stylised photographs to the paintings, in the features named beside it. "
        f"Lower is better. {NOT_FID}",
        format="%.2f",
    ),
    "kid": NumberColumn(
        "Kernel distance ↓", help="KID: the same by kernels, unbiased in n.", format="%.4f"
    ),
    "kid_sd": NumberColumn("± sd", help="Over random subsets of the pictures.", format="%.4f"),
    "features": TextColumn("Features", help="The network whose activations are compared."),
    "features_hash": TextColumn("Features' hash", help="Of the weights: which ones exactly."),
    "n_reference": NumberColumn("Paintings", help="How many paintings were compared with."),
    "n_generated": NumberColumn("Pictures", help="How many stylised photographs were compared."),
    "seconds_per_picture": NumberColumn(
        "Seconds per picture", help="Time to stylise one photograph, on the device.", format="%.3f"
    ),
    "peak_memory_mib": NumberColumn(
        "Peak memory (MiB)",
        help="Of the GPU when one was used, else of the process.",
        format="%.0f",
    ),
    "device": TextColumn("Device", help="Where the pictures were made."),
    "error": TextColumn("Note", help="Why there are no figures.", width="large"),
}
# Small pictures are enlarged without blurring; larger ones must not be thinned out that way. On a
# phone two cards stand side by side: content and style, then the methods to compare.
STYLE = """<style>
@media (min-width: 601px) { [class*="st-key-grid-enlarged"] img { image-rendering: pixelated; } }
@media (max-width: 600px) {
  [class*="st-key-grid"] { gap: 0.75rem !important; }
  [class*="st-key-grid"] > [data-testid="stLayoutWrapper"] {
    width: calc(50% - 0.4rem) !important; min-width: 0 !important; flex: 0 0 auto !important;
  }
}
</style>"""
STRIPS = {
    "snapshots": "The same test photographs as the training goes on.",
    "strength": "From the photograph (0) to its painting's style (1).",
    "mixture": "From one painting's style (0) to another's (1).",
    "to_art": "A photograph, as a painting, and back.",
    "to_photo": "A painting, as a photograph, and back.",
}
RUN = """\
make demo     # everything on the pictures that come with the project, about six minutes
dvc repro     # everything on your own pictures, as params.yaml says"""


def page() -> None:
    """Draw the page from top to bottom."""
    st.set_page_config("atelier", layout="wide")  # an icon would be loaded from elsewhere
    st.html(STYLE)
    st.title("atelier")
    try:
        root = project_root()
        params = Params.load(root / "params.yaml")
        frame = leaderboard.comparison(root, params)
        header(root, params)
    except UserError as error:
        st.error("The settings cannot be read.", icon=":material/error:")
        st.code(str(error), language=None, wrap_lines=True)
        return
    pictures(root, frame)
    more(root, params.method_names)
    if (frame["status"] != "not run").any():
        scores(frame)


def header(root: Path, params: Params) -> None:
    """Say what was run on what."""
    digest = results.digest(root)
    data = f"data set `{digest[:12]}`" if digest else "no data prepared"
    count = len(results.test_photos(root))
    photos = f" · {count} test photographs" if count else ""
    help_ = "The scale is set in params.yaml: demo is quick, full is the reports' own."
    st.caption(f"Scale `{params.scale}` · {data}{photos}", help=help_)


def pictures(root: Path, frame: pd.DataFrame) -> None:
    """The chosen photograph beside what was made of it, or how to get there."""
    photos = {path.stem: path for path in results.test_photos(root)}
    made = (root / "results/stylized").is_dir()
    if not made and (frame["status"] == "not run").all():
        st.info(
            "Nothing has been trained yet. In the project's folder, run one of",
            icon=":material/info:",
        )
        st.code(RUN, language="shell")
    if not photos:
        return
    photo = choose(list(photos))
    painting = results.painting_for(root, photo)
    grid = "grid-enlarged" if is_small(photos[photo]) else "grid"
    with st.container(key=grid, horizontal=True, gap="medium"):
        card("content", photos[photo], photo, f"the photograph {photo}")
        style = painting.stem if painting else "no painting is paired with it"
        card("style", painting, style, f"the painting {style}")
        for row in frame.to_dict("records"):
            if row["method"] not in leaderboard.YARDSTICKS:
                method(root, row, photo)


def more(root: Path, names: list[str]) -> None:
    """Snapshots of the training and strips of strengths and mixtures, method by method."""
    found = {name: kinds for name in names if (kinds := strips(root, name))}
    if not found:
        return
    st.header("In the making and in between")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Method", list(found), key="method", bind="query-params", width=320)
        kind = st.selectbox("Strip", list(found[name]), format_func=title, width=320)
    st.caption(STRIPS.get(kind, ""))
    for row, cells in found[name][kind].items():
        grid = "grid-enlarged" if is_small(next(iter(cells.values()))) else "grid"
        with st.container(key=f"{grid}-{kind}-{row}", horizontal=True, gap="small"):
            for column, path in cells.items():
                card(column, path, row, f"{row} by {name}, {kind} {column}")


def title(strip: str) -> str:
    """``to_art`` as people read it."""
    return strip.replace("_", " ").capitalize()


def choose(photos: list[str]) -> str:
    """The name of the photograph to show; it is part of the address, so a view can be shared."""
    asked = st.query_params.get("photo")
    if asked is not None and asked not in photos:
        st.warning("The address names a test photograph that does not exist; here is another.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Test photograph", photos, key="photo", bind="query-params", width=320)
        place = photos.index(name)
        for label, icon, step in (("Previous", "arrow_back", -1), ("Next", "arrow_forward", 1)):
            to = photos[(place + step) % len(photos)]
            alone = len(photos) == 1
            sign = f":material/{icon}:"
            st.button(label, icon=sign, on_click=show, args=(to,), disabled=alone)
        st.caption(f"{place + 1} of {len(photos)}", width="content")
    return name


def show(photo: str) -> None:
    """Turn to a photograph; Streamlit carries it into the address."""
    st.session_state["photo"] = photo


def method(root: Path, row: Mapping[Any, Any], photo: str) -> None:
    """A method's picture with its score, or the reason why there is none."""
    name, status = str(row["method"]), str(row["status"])
    if status in {"failed", "running"}:
        card(name, None, status, reason=str(row["error"]))
        return
    path = results.stylised(root, name, photo)
    score = f"ok · Fréchet {row['frechet']:.2f}" if status == "ok" else "not scored yet"
    card(name, path, score if path or status == "ok" else "not run", f"{photo} by {name}")


def card(
    title: str, path: Path | None, caption: str, alt: str = "", reason: str = "no picture"
) -> None:
    """A titled picture, or ``reason`` in its place."""
    with st.container(width=SIDE, gap="xsmall"):
        st.markdown(f"**{literal(title)}**")
        problem = fault(path) if path else reason
        if path and not problem:
            # By default Streamlit makes a JPEG of it; with a width in pixels it would shrink it.
            st.image(str(path), width="stretch", output_format="PNG", alt=alt)
        else:
            with st.container(height=SIDE, border=True):
                st.markdown(literal(problem))
        st.caption(literal(caption))


def fault(path: Path) -> str:
    """Why a picture cannot be shown, or "" when it can."""
    try:
        read(path)
    except ImageError as error:
        return f"{path.name} {error.reason}"
    return ""


def is_small(path: Path) -> bool:
    """Whether a picture is enlarged to fill its card."""
    try:
        return read(path).width < SIDE
    except ImageError:
        return False


def literal(text: str) -> str:
    """``text`` with the signs of Markdown taken as they are: names come from files."""
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>()#+!|~:$" else sign for sign in text)


def scores(frame: pd.DataFrame) -> None:
    """The table, what it means, and its file."""
    st.subheader("Scores")
    done = frame[frame["status"] == "ok"]
    if len(done[["features", "features_hash"]].drop_duplicates()) > 1:
        st.warning("The rows were scored with different features: their distances do not compare.")
    st.dataframe(
        frame,
        placeholder="–",
        column_config=COLUMNS,
        hide_index=True,
        height="content",
        alt="Scores of every method",
    )
    st.caption(
        "The Fréchet distance says how far the stylised photographs are from the paintings: lower "
        f"is better; “{leaderboard.DO_NOTHING}” is that of the photographs as they are, "
        f"“{leaderboard.FLOOR}” that of the paintings, one half against the other. {NOT_FID}"
    )
    text = leaderboard.to_csv(frame)
    st.download_button(
        "Download as CSV",
        text,
        "comparison.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


page()
