"""Mistakes in ``params.yaml`` below a page, as `atelier check` finds them, once it has."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import streamlit as st

from atelier.core.config import UserError, project_root

POLL_SECONDS = 2.0


class Check(Thread):
    """A run of `atelier check` in a process of its own, as it imports torch."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.root, self.found = root, ""

    def run(self) -> None:
        """Set ``found`` to its lines; none if there are no mistakes."""
        command = [sys.executable, "-m", "atelier.cli.main", "check"]
        done = subprocess.run(  # noqa: S603
            command, cwd=self.root, capture_output=True, text=True, check=False
        )
        self.found = done.stderr.strip().removeprefix("error: ") if done.returncode else ""


@st.cache_resource(max_entries=8, show_spinner=False)
def started(path: Path, stamp: tuple[int, int]) -> Check:  # noqa: ARG001 - part of the key
    """Start a check once per version of the file."""
    check = Check(path.parent)
    check.start()
    return check


def mistakes() -> None:
    """Draw the mistakes, or nothing; while the check runs, look again every few seconds."""
    with suppress(UserError, OSError):
        path = project_root() / "params.yaml"
        stat = path.stat()
        check = started(path, (stat.st_mtime_ns, stat.st_size))
        if check.is_alive():
            st.fragment(_again, run_every=POLL_SECONDS)(check)
        elif check.found:
            st.warning("`atelier check` finds mistakes in params.yaml:", icon=":material/warning:")
            st.code(check.found, language=None, wrap_lines=True)


def _again(check: Check) -> None:
    if not check.is_alive():
        st.rerun()
