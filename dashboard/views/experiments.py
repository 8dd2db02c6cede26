"""Experiments: the figures of DVC's experiments side by side, and the settings that differ."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.column_config import NumberColumn, TextColumn

from atelier.metrics.catalogue import FIGURES, HEADLINE, Metric
from atelier.reports import experiments, parameters
from atelier.reports.experiments import LAST_COMMIT, WORKSPACE, Experiment
from atelier.reports.leaderboard import label
from parts import project
from parts.project import Project, literal

AT_FIRST = 6
"""Number of columns shown until one chooses others."""


def page() -> None:
    """Draw the page from top to bottom."""
    found = project.begin("Experiments")
    known = experiments.experiments(found.root)
    if len(known) <= len((WORKSPACE, LAST_COMMIT)):
        how(found)
    metrics = experiments.known_figures(known)
    if not metrics:
        if not found.fresh:
            st.info("No figures have been compared yet; run `dvc repro`.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = FIGURES[choose_metric(metrics)]
        shown = choose_columns(known)
    if not shown:
        st.info("Choose at least one experiment.")
        return
    figures(metric, shown)
    settings(shown)


def how(found: Project) -> None:
    """Say how to make an experiment."""
    st.info("There are no experiments yet. One changes settings and keeps its results apart:")
    names = found.params.method_names
    if names:
        st.code(parameters.experiment(found.params, names[0]), language="shell")


def choose_metric(metrics: Sequence[str]) -> str:
    """Return the key of the figure to show."""
    first = metrics.index(HEADLINE) if HEADLINE in metrics else 0
    return str(
        st.selectbox(
            "Figure", metrics, first, key="figure", width=260, persist_state="session",
            format_func=lambda key: FIGURES[key].title,
        )
    )  # fmt: skip


def choose_columns(known: Sequence[Experiment]) -> list[Experiment]:
    """Return the experiments to show, in the order of ``known``."""
    names = [one.name for one in known]
    chosen = st.multiselect(
        "Experiments", names, names[:AT_FIRST], key="experiments", persist_state="session"
    )
    return [one for one in known if one.name in chosen]


def figures(metric: Metric, shown: Sequence[Experiment]) -> None:
    """Draw a figure of every entry and experiment; the best of each row is marked."""
    frame = experiments.figures_of(shown, metric.key) * metric.scale
    frame.index = frame.index.map(label)
    st.caption(f"{literal(metric.help)} The best of each row is marked.")
    if experiments.incomparable(shown, metric.key):
        st.warning("Measured on different networks or numbers of pictures: not comparable.")
    form = f"%.{metric.digits}f"
    columns = {
        one.name: NumberColumn(one.name, help=one.date and f"committed {one.date}", format=form)
        for one in shown
    }
    st.dataframe(
        frame.style.apply(marked, axis="columns", lower=metric.better == "lower")
        if metric.better
        else frame,
        column_config={"method": TextColumn("Method", pinned=True, width=160), **columns},
        placeholder="–", height="content", alt=f"{metric.label} of every entry and experiment",
    )  # fmt: skip
    st.download_button(
        "Download as CSV", frame.to_csv(lineterminator="\n"), f"experiments_{metric.key}.csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def marked(row: pd.Series[float], lower: bool) -> list[str]:
    """Return the style of each cell of a row: bold and tinted for the best, if any is worse."""
    best = row.min() if lower else row.max()
    if row.dropna().nunique() < 2:
        return [""] * len(row)
    return ["font-weight: bold; background-color: #3d8b5f40" if v == best else "" for v in row]


def settings(shown: Sequence[Experiment]) -> None:
    """Draw the settings in which the experiments differ."""
    st.header("Settings that differ", anchor=False)
    changed = experiments.changed_settings(shown)
    if unread := [one.name for one in shown if not one.settings]:
        st.caption(f"Without readable settings: {project.listed(unread)}")
    if changed.empty:
        st.caption("None.")
        return
    st.dataframe(
        changed, column_config={"setting": TextColumn("Setting", pinned=True)}, height="content",
        alt="Settings in which the experiments differ",
    )  # fmt: skip


page()
