"""Read-only view of how each method was trained: its settings, and how to train it again.

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
from atelier.core.stage_settings import running
from atelier.tracking.provenance import flatten

STAGES = ("train", "stylize", "denoise", "evaluate")
"""Steps of the DAG that exist once per method, in order."""
SOME_STEPS = 100
"""Suggested where a method takes its weights as they are."""
UNSET = "–"
"""Placeholder of a setting that a method does not have."""


def settings(root: Path, params: Params, method: str) -> dict[str, Any]:
    """Return the settings of the method's run, or its next; nested blocks as ``a.b``.

    Those its results were made with; where there are none, those in force in ``params.yaml``.
    """
    return flatten(records.parameters(root, method) or params.method(method))


def changes(root: Path, params: Params, method: str) -> dict[str, tuple[Any, Any]]:
    """Return settings that ``params.yaml`` has changed since: (of the run, in force).

    ``UNSET`` where one of the two does not have the setting. Those that no result depends on are
    left out.
    """
    had, now = settings(root, params, method), flatten(params.method(method))
    pairs = {name: (had.get(name, UNSET), now.get(name, UNSET)) for name in {**had, **now}}
    free = running(root, method)
    return {k: pair for k, pair in pairs.items() if pair[0] != pair[1] and k not in free}


def differences(root: Path, params: Params, methods: Sequence[str]) -> pd.DataFrame:
    """Return settings (rows) of several methods (columns) as texts, and whether they differ.

    Those that differ come first; among them, those that all of the methods have.
    """
    frame = pd.DataFrame({m: _texts(settings(root, params, m)) for m in methods}, dtype="object")
    frame = frame.fillna(UNSET)
    differs = frame.ne(frame.iloc[:, 0], axis="index").any(axis="columns")
    lacking = (frame == UNSET).sum(axis="columns")
    order = pd.DataFrame({"same": ~differs, "lacking": lacking})
    frame.insert(0, "differs", differs)
    return frame.loc[order.sort_values(["same", "lacking"], kind="stable").index]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    """``value`` as ``params.yaml`` would have it, on one line."""
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...")


def command(root: Path, params: Params, method: str) -> str:
    """Return the shell line that reproduces the method's results with the settings of its run."""
    targets = " ".join(f"{stage}@{method}" for stage in STAGES)
    changed = changes(root, params, method)
    if not changed:
        return f"dvc repro {targets}"
    places = {name: _place(params, method, name) for name in changed}
    left = [n for n, (had, _) in changed.items() if had == UNSET and not places[n][1]]
    sets = [_override(*places[n], *pair) for n, pair in changed.items() if n not in left]
    # what a block has from another one can be replaced in it, but not left out
    note = f"  # and, by hand, without {', '.join(left)}" if left else ""
    lines = ["dvc exp run", *(f"-S {shlex.quote(text)}" for text in sets), targets]
    return " \\\n    ".join(lines) + note


def _override(place: str, stands: bool, had: Any, now: Any) -> str:
    """One change of ``params.yaml`` in the words of ``dvc exp run -S``: ``+`` adds, ``~`` drops."""
    if had == UNSET:
        return f"~{place}"
    return f"{'' if stands and now != UNSET else '+'}{place}={_text(had)}"


def _place(params: Params, method: str, name: str) -> tuple[str, bool]:
    """Where a setting of this method alone stands or would stand, and whether it stands there.

    What the method has from a block that it extends is not changed there, where others have it
    too, but added to the method's own block of the same level.
    """
    key = name.split(".", maxsplit=1)[0]
    scaled = f"scales.{params.scale}.{method}"
    place = params.places(method).get(key, f"methods.{method}")
    own = scaled if place.startswith("scales.") else f"methods.{method}"
    return f"{own}.{name}", place == own


def experiment(params: Params, method: str) -> str:
    """Return a shell line that tries another value of a setting: twice the steps, or some."""
    steps = params.method(method).get("steps")
    if not isinstance(steps, int):
        return f"dvc exp run -S seed={params.seed + 1}"
    place, stands = _place(params, method, "steps")
    return f"dvc exp run -S {'' if stands else '+'}{place}={2 * steps or SOME_STEPS}"
