"""Read-only view of each method's settings, and commands that reproduce its results.

Like ``atelier.reports.outputs`` it writes nothing and imports no torch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from atelier.core import records
from atelier.core.config import Params
from atelier.core.extends import SEED
from atelier.core.stage_settings import running
from atelier.tracking.provenance import flatten

STAGES = ("train", "stylize", "evaluate", "denoise", "evaluate_denoised")
"""Steps of the DAG that exist once per method, in order."""
SOME_STEPS = 100
"""Steps suggested for a method that uses pretrained weights without training."""
UNSET = "–"
"""Placeholder of a setting that a method does not have."""


def settings(root: Path, params: Params, method: str) -> dict[str, Any]:
    """Return the settings of the method's last run, else its next; nested blocks as ``a.b``.

    These are those its results were made with or, without results, in force in ``params.yaml``.
    """
    return flatten(records.parameters(root, method) or params.method(method))


def changes(root: Path, params: Params, method: str) -> dict[str, tuple[Any, Any]]:
    """Return settings changed in ``params.yaml`` since the run: (of the run, in force).

    ``UNSET`` stands for a missing setting. Settings on which no result depends are omitted.
    """
    had, now = settings(root, params, method), flatten(params.method(method))
    pairs = {name: (had.get(name, UNSET), now.get(name, UNSET)) for name in {**had, **now}}
    free = running(root, method)
    return {k: pair for k, pair in pairs.items() if pair[0] != pair[1] and k not in free}


def differences(root: Path, params: Params, methods: Sequence[str]) -> pd.DataFrame:
    """Return settings (rows) of several methods (columns) as text, and whether they differ.

    Those that differ come first, and among them those common to all methods.
    """
    frame = pd.DataFrame({m: _texts(settings(root, params, m)) for m in methods}, dtype="object")
    frame = frame.fillna(UNSET)
    differs = frame.ne(frame.iloc[:, 0], axis="index").any(axis="columns")
    lacking = (frame == UNSET).sum(axis="columns")
    order = pd.DataFrame({"same": ~differs, "lacking": lacking})
    frame.insert(0, "differs", differs)
    return frame.loc[order.sort_values(["same", "lacking"], kind="stable").index]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_text(value) for name, value in values.items()}


def as_text(value: Any) -> str:
    """Return ``value`` as written in ``params.yaml``, on one line."""
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...")


def command(root: Path, params: Params, method: str) -> str:
    """Return the shell command that reproduces a method's results with its settings."""
    targets = " ".join(f"{stage}@{method}" for stage in STAGES)
    changed = changes(root, params, method)
    if not changed:
        return f"dvc repro {targets}"
    places = {name: _place(params, method, name) for name in changed}
    left = [n for n, (had, _) in changed.items() if had == UNSET and not places[n][1]]
    sets = [_override(*places[n], *pair) for n, pair in changed.items() if n not in left]
    # an inherited setting can be overridden in a block, but not removed
    note = f"  # and, by hand, without {', '.join(left)}" if left else ""
    lines = ["dvc exp run", *(f"-S {shlex.quote(text)}" for text in sets), targets]
    return " \\\n    ".join(lines) + note


def _override(place: str, stands: bool, had: Any, now: Any) -> str:
    """Return a change of ``params.yaml`` for ``dvc exp run -S``: ``+`` adds, ``~`` removes."""
    if had == UNSET:
        return f"~{place}"
    return f"{'' if stands and now != UNSET else '+'}{place}={as_text(had)}"


def _place(params: Params, method: str, name: str) -> tuple[str, bool]:
    """Return the path of a setting in a block of this method alone, and whether it is set there.

    An inherited setting is not changed in the extended block, which other methods may share, but
    added to the method's own block of the same level.
    """
    key = name.split(".", maxsplit=1)[0]
    if key != SEED:  # a repetition has nothing else of its own
        method = params.repeated(method)
    scaled = f"scales.{params.scale}.{method}"
    place = params.places(method).get(key, f"methods.{method}")
    own = scaled if place.startswith("scales.") else f"methods.{method}"
    return f"{own}.{name}", place == own


def experiment(params: Params, method: str) -> str:
    """Return a shell command that tries another setting: twice the steps, or another seed."""
    steps = params.method(method).get("steps")
    if not isinstance(steps, int):
        return f"dvc exp run -S seed={params.seed + 1}"
    place, stands = _place(params, method, "steps")
    return f"dvc exp run -S {'' if stands else '+'}{place}={2 * steps or SOME_STEPS}"
