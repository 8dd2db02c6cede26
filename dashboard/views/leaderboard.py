"""Leaderboard: every method's scores and picture, and their protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import streamlit as st

from atelier.core.baselines import BASELINES
from atelier.core.config import UserError
from atelier.metrics.catalogue import FIGURES, HEADLINE, NOT_FID, PREFERENCE, QUESTIONS
from atelier.reports import leaderboard, outputs, paired, preferences, protocol, repeats
from atelier.reports.literature import published
from parts import charts, components, pictures, project
from parts.columns import COLUMNS, PICTURE, arranged
from parts.project import Project, literal

PREFERRED = [PREFERENCE + question for question in QUESTIONS]
"""Columns beside the pictures, where people have voted."""
HOVERED = 160
"""Longer side in pixels of the picture that a point of the plot shows under the pointer."""


def page() -> None:
    """Draw the page from top to bottom."""
    found = project.begin("Leaderboard")
    if (found.frame["status"] == "not run").all():
        return
    photos = {path.stem: path for path in outputs.test_photos(found.root)}
    photo = choose(photos) if photos else ""
    table(seeds_together(found), photos, photo)
    explain(found)
    left, right = st.columns([3, 2], gap="large")
    with left:
        plot(found, photos.get(photo))
    with right:
        card(found)
    people(found)
    others()


def choose(photos: Mapping[str, Path]) -> str:
    """Return the photograph whose pictures are in the table."""
    names = list(photos)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # Not bound to the URL: st.switch_page refuses to leave a page with a bound parameter.
        name = st.selectbox("Test photograph", names, key="of", persist_state="session", width=220)
        with st.container(key="wide-film"):
            components.filmstrip("Test photographs", photos, name, "film", turn)
    return name


def turn(photo: str) -> None:
    """Switch to a photograph; Streamlit updates the URL."""
    st.session_state["of"] = photo


def seeds_together(found: Project) -> Project:
    """Return the project with several seeds of an entry as one row, unless one wants each."""
    together = repeats.pooled(found.frame, found.params)
    if together is found.frame:
        return found
    help_ = "Entries that differ by their seed alone: means, and standard deviations beside them."
    apart = not st.toggle("Seeds of an entry as one row", True, key="seeds", help=help_)
    return found if apart else replace(found, frame=together)


def table(found: Project, photos: Mapping[str, Path], photo: str) -> None:
    """Draw the table, with a button to compare selected rows and a download of all."""
    done = found.frame[found.frame["status"] == "ok"]
    if len(done[["features", "features_hash"]].drop_duplicates()) > 1:
        st.warning("The rows have different features: their distances are not comparable.")
    frame = found.frame.assign(
        **{
            PICTURE: [
                picture(found.root, name, photos.get(photo)) for name in found.frame["method"]
            ]
        }
    )
    verdicts = {} if repeats.SEEDS in found.frame else against(found)
    shown = arranged(frame.assign(**verdicts), (*verdicts, *PREFERRED))
    state = st.dataframe(
        shown, placeholder="–", column_config=COLUMNS,
        hide_index=True, height="content", row_height=56, key="rows", on_select="rerun",
        selection_mode="multi-row", alt="Figures of every method",
    )  # fmt: skip
    chosen = [str(name) for name in found.frame["method"].iloc[state.selection.rows]]
    with st.container(horizontal=True):
        compare([name for name in chosen if name not in BASELINES], photo)
        text = leaderboard.to_csv(found.frame)
        icon = ":material/download:"
        st.download_button("Download as CSV", text, "comparison.csv", icon=icon, on_click="ignore")


def against(found: Project) -> dict[str, list[str]]:
    """Return columns with every row's paired difference to a row that one chooses; {} for none."""
    done = [str(name) for name in found.frame.loc[found.frame["status"] == "ok", "method"]]
    chosen = st.selectbox(
        "Better or worse than", done, index=None, placeholder="Choose a row", key="against",
        format_func=leaderboard.label, width=320, persist_state="session",
        help="Paired over the photographs that both stylised: the difference in the Fréchet "
        "distance, its 95 % confidence interval, and whether that leaves out zero.",
    )  # fmt: skip
    if not chosen:
        return {}
    try:
        differences = paired.compared(found.root, found.frame, chosen)
    except UserError as error:
        st.caption(literal(error))
        return {}
    return paired.columns(differences, chosen, HEADLINE)


def picture(root: Path, name: str, photo: Path | None, side: int = pictures.THUMB) -> str:
    """Thumbnail for a row: of the method's picture, or of what a baseline is about."""
    if photo is None:
        return ""
    if name in BASELINES:
        path = outputs.baseline(root, name, photo)
    else:
        path = outputs.stylised(root, name, photo.stem)
    return pictures.thumbnail(path, side) if path else ""


def compare(chosen: list[str], photo: str) -> None:
    """Draw a button that leads to the comparison of the selected rows."""
    hint = "Select rows in the column at the left edge of the table."
    if st.button("Compare the selected rows", type="primary", disabled=not chosen, help=hint):
        # Not by the URL: a value equal to a widget's default would not replace its last value.
        st.session_state.update({"photo": photo, "methods": chosen})
        st.switch_page("views/compare.py")


def explain(found: Project) -> None:
    """Explain the figures, and why some are missing."""
    meanings = (f"“{one.label}” is that of {one.meaning}" for one in BASELINES.values())
    st.caption(
        "The Fréchet distance says how far the stylised photographs are from the paintings: lower "
        f"is better; {'; '.join(meanings)}. {NOT_FID}"
    )
    for row in found.frame[found.frame["status"] == "failed"].to_dict("records"):
        st.error(f"**{literal(row['method'])}** {literal(row['error'])}")


def plot(found: Project, photo: Path | None) -> None:
    """The Pareto plot, where there are two figures to plot; a point shows its picture."""
    st.header("Style against content", anchor=False)
    done = found.frame[found.frame["status"] == "ok"]
    charts.pareto(done, [picture(found.root, name, photo, HOVERED) for name in done["method"]])


def card(found: Project) -> None:
    """Draw the protocol of the first finished row; the others share it unless warned above."""
    done = found.frame[found.frame["status"] == "ok"]["method"]
    names = [name for name in done if name not in BASELINES]
    lines = protocol.protocol(found.root, found.params, names[0]) if names else {}
    if lines:
        st.header("Protocol", anchor=False)
        rows = [f"- **{literal(name)}:** {literal(text)}" for name, text in lines.items()]
        st.markdown("\n".join(rows))


def people(found: Project) -> None:
    """Draw how many votes there are, and which metric predicts them; nothing without votes."""
    names = found.params.method_names
    try:
        known = preferences.study(found.root, names)
    except UserError as error:
        st.error(literal(error))
        return
    lines = known.summary(names)
    if not lines:
        return
    st.header("People's preferences", anchor=False)
    st.markdown("\n".join(f"- {literal(line)}" for line in lines))
    agreement = preferences.table(known, found.frame)
    if len(agreement):
        st.caption(preferences.MEANING)
        agreement["metric"] = agreement["metric"].map(lambda key: FIGURES[key].title)
        agreement.columns = agreement.columns.map(project.title)
        st.dataframe(agreement, hide_index=True, width="content", alt="Agreement with people")


def others() -> None:
    """Draw published scores, apart from ours."""
    with st.expander("Published scores, on other data and protocols"):
        st.caption("Not comparable with the table above, nor its rows with one another.")
        st.dataframe(published(), hide_index=True, alt="Published figures")


page()
