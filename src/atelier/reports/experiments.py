"""Experiments of ``dvc exp`` side by side: the figures and the settings that each committed.

DVC keeps an experiment as a commit below ``refs/exps``, with the figures in ``comparison.json``.
They are read from git alone: ``dvc exp show`` takes seconds, and the lock that a running ``dvc
repro`` holds. Names, figures and settings may come from elsewhere (``dvc exp pull``): untrusted.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from atelier.core.config import UserError
from atelier.core.files import read_record
from atelier.core.paths import Results
from atelier.core.settings import printable
from atelier.core.yaml_tree import parsed_tree
from atelier.metrics.catalogue import FIGURES, NETWORKS
from atelier.reports.parameters import UNSET, as_text
from atelier.tracking.provenance import flatten, git

log = logging.getLogger(__name__)

WORKSPACE, LAST_COMMIT = "workspace", "last commit"
MOST = 50
"""Number of experiments listed, newest first."""
REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(\S{1,200})")
"""DVC's name of an experiment: the commit that it started from, and what it is called."""
SETTINGS = "params.yaml"


@dataclass(frozen=True)
class Experiment:
    """What one experiment, the last commit, or the workspace has."""

    name: str
    """Unique; the text of a git reference, or ``WORKSPACE``, ``LAST_COMMIT``."""
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Entry → figure → value, as in ``comparison.json``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Path in ``params.yaml`` → value; {} if it cannot be read."""
    date: str = ""


def experiments(root: Path) -> list[Experiment]:
    """Return the workspace, the last commit, and the experiments, newest first.

    Without git, or without a commit, there is the workspace alone.
    """
    now = read_record(Results(root).comparison / "comparison.json")
    found = [Experiment(WORKSPACE, _figures(now), _settings(_bytes(root / SETTINGS)))]
    try:
        commit = git(root, "rev-parse", "--verify", "HEAD")
        lines = git(
            root, "for-each-ref", "--sort=-committerdate", f"--format={FORMAT}", "refs/exps"
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.info("no experiments: %s", error)
        return found
    found.append(Experiment(LAST_COMMIT, *_committed(root, commit)))
    return [*found, *_listed(root, lines.splitlines())]


FORMAT = "%(objectname) %(committerdate:iso8601-strict) %(refname)"


def _listed(root: Path, lines: Sequence[str]) -> Iterator[Experiment]:
    """Yield the experiments among the references; of two of one name, the older has its base."""
    names = {WORKSPACE, LAST_COMMIT}
    rows = [line.split(" ", 2) for line in lines]
    known = [(row, match) for row in rows if len(row) == 3 and (match := REF.fullmatch(row[2]))]
    for (commit, date, _), match in known[:MOST]:
        name = printable(match[3])
        if name in names:
            name = f"{name} ({match[1]}{match[2][:5]})"
        if name not in names:
            names.add(name)
            yield Experiment(name, *_committed(root, commit), date[:16].replace("T", " "))


@lru_cache(maxsize=4 * MOST)
def _committed(
    root: Path, commit: str
) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Any]]:
    """Return figures and settings of a commit, which never change."""
    where = Results().comparison / "comparison.json"
    texts = [_at(root, commit, name) for name in (where.as_posix(), SETTINGS)]
    try:
        figures = json.loads(texts[0])
    except (ValueError, RecursionError):
        figures = {}
    return _figures(figures), _settings(texts[1].encode())


def _at(root: Path, commit: str, name: str) -> str:
    """Return the text of a file in a commit; "" if it has none."""
    try:
        return git(root, "show", f"{commit}:./{name}")
    except (OSError, subprocess.SubprocessError):
        return ""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _figures(found: Any) -> dict[str, dict[str, Any]]:
    """Return what has the form of a comparison: entries with their figures."""
    rows = found.items() if isinstance(found, dict) else ()
    return {str(name): row for name, row in rows if isinstance(row, dict)}


def _settings(raw: bytes) -> dict[str, Any]:
    try:
        return flatten(parsed_tree(raw, Path(SETTINGS)))
    except UserError:
        return {}


def figures_of(found: Sequence[Experiment], key: str) -> pd.DataFrame:
    """Return a figure: rows entries, in order of appearance; columns experiments; NaN for none."""
    entries = list(dict.fromkeys(name for one in found for name in one.figures))
    columns = {
        one.name: [_number(one.figures.get(name, {}).get(key)) for name in entries] for one in found
    }
    frame = pd.DataFrame(columns, index=pd.Index(entries, name="method"), dtype="float64")
    return frame.dropna(how="all")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def known_figures(found: Sequence[Experiment]) -> list[str]:
    """Return the figures of the catalogue that any experiment has, in its order."""
    some = {key for one in found for row in one.figures.values() for key in row}
    return [key for key in FIGURES if key in some and not figures_of(found, key).empty]


def incomparable(found: Sequence[Experiment], key: str) -> bool:
    """Return whether an entry's figure is of different networks or numbers of pictures."""
    protocol = (*NETWORKS.get(FIGURES[key].network, ())[:1], "n_generated", "n_reference")
    kinds: dict[str, set[tuple[str, ...]]] = {}
    for one in found:
        for name, row in one.figures.items():
            if _number(row.get(key)) is not None:
                kinds.setdefault(name, set()).add(tuple(str(row.get(p, "")) for p in protocol))
    return any(len(of_entry) > 1 for of_entry in kinds.values())


def changed_settings(found: Sequence[Experiment]) -> pd.DataFrame:
    """Return the settings that differ: rows paths in params.yaml, columns experiments, as text."""
    readable = [one for one in found if one.settings]
    paths = dict.fromkeys(path for one in readable for path in one.settings)
    texts = {one.name: [_text(one.settings, path) for path in paths] for one in readable}
    frame = pd.DataFrame(texts, index=pd.Index(list(paths), name="setting"), dtype="object")
    return frame[frame.ne(frame.iloc[:, 0], axis="index").any(axis="columns")] if texts else frame


def _text(settings: Mapping[str, Any], path: str) -> str:
    return as_text(settings[path]) if path in settings else UNSET
