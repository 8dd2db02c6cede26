"""Project of a page: its settings, its table, and hints where there are no results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from atelier.core.baselines import BASELINES
from atelier.core.config import Params, UserError, project_root
from atelier.core.markdown import code, escaped
from atelier.core.paths import CARD, Results
from atelier.reports import leaderboard, outputs

RUN = """\
make demo     # everything on the pictures that come with the project, about five minutes
dvc repro     # everything on your own pictures, as params.yaml says"""


@dataclass(frozen=True)
class Project:
    """State of the project, read again for every view."""

    root: Path
    params: Params
    frame: pd.DataFrame
    """Table of ``leaderboard.comparison``."""

    @property
    def methods(self) -> pd.DataFrame:
        """The rows that are methods, best first."""
        return self.frame[~self.frame["method"].isin(BASELINES)]

    @property
    def fresh(self) -> bool:
        """Whether there are no results yet."""
        results = Results(self.root)
        pictures = any(results.stylized(name).folder.is_dir() for name in self.params.method_names)
        made = pictures or any(results.models.glob(f"*/{CARD}"))
        return not made and bool((self.frame["status"] == "not run").all())


def begin(title: str) -> Project:
    """Draw the head of every page; return the project.

    Raises:
        UserError: settings that cannot be read; the page ends there, see ``explain``.
    """
    st.title(title, anchor=False)
    root = project_root()
    path = root / "params.yaml"
    params = _params(path, (path.stat().st_mtime_ns, path.stat().st_size))
    found = Project(root, params, leaderboard.comparison(root, params))
    _scale(found)
    if found.fresh:
        _what_to_run()
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _params(path: Path, stamp: tuple[int, int]) -> Params:  # noqa: ARG001 - part of the key
    """Load the settings once per file, as parsing takes longer than the rest of a view."""
    return Params.load(path)


def explain(error: UserError) -> None:
    """Show the error that ended the page."""
    st.error("The settings cannot be read.", icon=":material/error:")
    st.code(str(error), language=None, wrap_lines=True)


def _scale(project: Project) -> None:
    digest = outputs.digest(project.root)
    data = f"data set {code(digest[:12])}" if digest else "no data prepared"
    count = len(outputs.test_photos(project.root))
    photos = f" · {count} test photographs" if count else ""
    help_ = "The scale is set in params.yaml: demo is quick, full is the setting of the reports."
    st.caption(f"Scale {code(project.params.scale)} · {data}{photos}", help=help_)


def _what_to_run() -> None:
    icon = ":material/info:"
    st.info("Nothing has been trained yet. In the project's folder, run one of", icon=icon)
    st.code(RUN, language="shell")


def literal(text: object) -> str:
    """Return ``text`` with Markdown escaped, as names come from files."""
    return escaped(text, r"_{}()#+~:$")


def listed(names: Iterable[str]) -> str:
    """Return the names as a list, each as code."""
    return ", ".join(map(code, names))


def title(name: str) -> str:
    """Return a name such as ``to_art`` for display."""
    return name.replace("_", " ").capitalize()
