"""Runs: training, parameters and commands to reproduce each method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from atelier.core import records, zoo_files
from atelier.core.config import UserError
from atelier.core.markdown import code
from atelier.core.paths import SNAPSHOTS
from atelier.reports import outputs, parameters
from atelier.reports.curves import curves as loss_curves
from atelier.reports.outputs import strips
from atelier.tracking import links
from parts import charts, pictures, project
from parts.project import Project, literal

# Entries of training.json: label and format. (Streamlit would show a docstring on the page.)
FIGURES = {
    "steps": ("Steps", "{:,.0f}"),
    "training_seconds": ("Training", "{:,.0f} s"),
    "seconds_per_step": ("Per step", "{:.3f} s"),
    "parameters_trained": ("Parameters", "{:,.0f}"),
    "file_mb": ("Weights", "{:,.1f} MB"),
    "photos": ("Photographs", "{:,.0f}"),
    "styles": ("Paintings", "{:,.0f}"),
}


def page() -> None:
    """Draw the page from top to bottom."""
    found = project.begin("Runs")
    names = found.params.method_names
    if not names:
        return
    name = st.selectbox("Method", names, key="run", bind="query-params", width=320)
    state(found, name)
    figures(found, name)
    curves(found, name)
    samples(found, name)
    again(found, name)
    settings(found, names, name)


def state(found: Project, name: str) -> None:
    """Draw the method's status, its kind, and the link to its run."""
    row = found.methods.set_index("method").loc[name]
    card = records.record(found.root, name, "card")
    parts = [f"**{literal(row['status'])}**"]
    if "kind" in card:
        parts.append(f"kind {code(card['kind'])}")
    if card.get("features"):
        parts.append(f"features {code(card['features'])} {code(card.get('features_hash', ''))}")
    if begun := zoo_files.history(card):
        parts.append(f"pretrained: {literal(begun)}")
    st.markdown(" · ".join(parts))
    if row["error"]:
        st.error(literal(row["error"]))
    elif row["status"] != "not run":
        mlflow(found, name)


def mlflow(found: Project, name: str) -> None:
    """Draw a link to the run, or why there is none."""
    url, problem = links.page_of(found.root, name)
    if problem:
        st.caption(literal(problem))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.link_button("Run in MLflow", url, icon=":material/open_in_new:")
        st.caption("`make ui` serves it.", width="content")


def figures(found: Project, name: str) -> None:
    """Draw time and size of the training."""
    record = records.record(found.root, name, "training")
    shown = {key: record[key] for key in FIGURES if isinstance(record.get(key), int | float)}
    if not shown:
        return
    with st.container(horizontal=True, gap="large"):
        for key, value in shown.items():
            label, form = FIGURES[key]
            st.metric(label, form.format(value), width="content")


def curves(found: Project, name: str) -> None:
    """Draw the losses of the training and of the stylisation."""
    try:
        frames = loss_curves(found.root, name)
    except UserError as error:
        st.warning(literal(error))
        return
    if not frames:
        return
    st.header("Curves", anchor=False)
    logarithmic = st.toggle("Logarithmic", value=True, key="log", bind="query-params")
    for kind, frame in frames.items():
        st.caption(f"Losses of the {kind}, by step.")
        names = ", ".join(str(column) for column in frame)
        charts.curves(frame, f"{kind} of {name}: {names}", logarithmic=logarithmic)


def samples(found: Project, name: str) -> None:
    """Draw the snapshots of the training, or of the optimisation."""
    shots = strips(found.root, name).get(SNAPSHOTS)
    if not shots:
        return
    st.header("Samples", anchor=False)
    photos = {path.stem: path for path in outputs.test_photos(found.root)}
    with_photo = {
        row: {**({"photograph": photos[row]} if row in photos else {}), **cells}
        for row, cells in shots.items()
    }
    pictures.rows(SNAPSHOTS, with_photo, name)


def again(found: Project, name: str) -> None:
    """Draw the commands that reproduce the method, and one for another experiment."""
    st.header("Commands", anchor=False)
    changed = parameters.changes(found.root, found.params, name)
    command = parameters.command(found.root, found.params, name)
    other = parameters.experiment(found.params, name)
    if changed:
        st.warning("params.yaml has changed since this run; the command restores its values:")
        st.dataframe(_changes(changed), alt="Changed parameters")
    st.code(f"{command}\n\n# another experiment:\n{other}", language="shell", wrap_lines=True)


def _changes(changed: Mapping[str, tuple[Any, Any]]) -> pd.DataFrame:
    texts = {name: [str(value) for value in pair] for name, pair in changed.items()}
    return pd.DataFrame.from_dict(texts, orient="index", columns=["of the run", "in params.yaml"])


def settings(found: Project, names: list[str], name: str) -> None:
    """Draw the parameters of several methods side by side, different ones first."""
    st.header("Parameters", anchor=False)
    classes = {other: found.params.method(other).get("class") for other in names}
    kin = [other for other in names if classes[other] == classes[name]]
    others = st.multiselect(
        "Methods to compare", names, default=kin, key=f"beside {name}", placeholder="Methods"
    )
    if not others:
        return
    frame = parameters.differences(found.root, found.params, others)
    if len(others) == 1:
        frame = frame.drop(columns="differs")
    st.dataframe(frame, height="content", alt=f"Parameters of {', '.join(others)}")


page()
