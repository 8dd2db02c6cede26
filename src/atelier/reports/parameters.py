"""Read-only view of how each method was trained: curves, figures, knobs, its MLflow run.

Like ``atelier.reports.outputs`` it writes nothing and imports no torch. The store of the runs is only asked
whether it still has a run; what the run holds is MLflow's own interface to show.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from atelier.core.config import Params, UserError
from atelier.core.files import read_record
from atelier.tracking.provenance import flatten
from atelier.core.paths import plain
from atelier.tracking.store import store_uri

UI = "http://127.0.0.1:5000"
"""Where ``make ui`` serves MLflow."""
TRAINING, STYLISATION = "training", "stylisation"
STAGES = ("train", "stylize", "denoise", "evaluate")
"""Steps of the DAG that exist once per method, in order."""
UNSET = "–"
"""Stands for a knob that a method does not have."""


def record(root: Path, method: str, name: str) -> dict[str, Any]:
    """``results/models/<method>/<name>.json``: ``card``, ``training`` or ``run``; {} without it."""
    with suppress(UserError):
        return read_record(root / "results/models" / plain(method) / f"{plain(name)}.json")
    return {}


def protocol(root: Path, params: Params, method: str) -> dict[str, str]:
    """How a method was scored, as people read it: what must stand beside every figure."""
    with suppress(UserError):
        found = read_record(root / "results/metrics" / f"{plain(method)}.json")
        if not found:
            return {}
        made = read_record(root / "results/prepared/manifest.json")
        size = made.get("settings") or params.scaled("prepare")
        lines = {
            "Features": _joined(found, "features", "features_hash", "layer"),
            "Content and style": _joined(found, "perceptual", "perceptual_hash"),
            "LPIPS": _joined(found, "lpips_network"),
            "Pictures (n)": _joined(found, "n_generated"),
            "Reference set": f"{_joined(found, 'n_reference')} paintings of the data set "
            f"{str(made.get('digest', '?'))[:12]}",
            "Resize": f"{size.get('resize', '?')} to {size.get('size', '?')} pixels",
            "Seed": str(params.seed),
            "Scale": params.scale,
        }
        return {name: text for name, text in lines.items() if text}
    return {}


def setting(root: Path, params: Params) -> str:
    """What all rows share, on one line: reference set, resize, seed and scale; "" before a run."""
    names = (*params.method_names, "do_nothing")
    found: dict[str, str] = next(filter(None, (protocol(root, params, n) for n in names)), {})
    kept = ("Reference set", "Resize", "Seed", "Scale")
    return " · ".join(f"{name.lower()}: {found[name]}" for name in kept if name in found)


def _joined(found: Mapping[str, Any], *keys: str) -> str:
    return " ".join(str(found[key]) for key in keys if found.get(key))


def curves(root: Path, method: str) -> dict[str, pd.DataFrame]:
    """``training`` and ``stylisation`` to losses by step (index ``step``); empty ones left out.

    Raises:
        UserError: a file that is no table of numbers, named.
    """
    name = plain(method)
    paths = {
        TRAINING: root / "results/curves" / f"{name}.csv",
        STYLISATION: root / "results/stylized" / name / "curves.csv",
    }
    found = {kind: _curve(path) for kind, path in paths.items() if path.is_file()}
    return {kind: frame for kind, frame in found.items() if frame.size}


def _curve(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype="float64")
        return frame.set_index("step").dropna(axis="columns", how="all")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError, KeyError, pd.errors.ParserError):
        again = "delete it and run the step that writes it again"
        raise UserError(f"{path}: is no table of numbers by step; {again}") from None


def run_id(root: Path, method: str) -> str | None:
    """Id of the method's MLflow run; None when tracking was not available."""
    found = record(root, method, "run").get("run_id")
    return found if isinstance(found, str) and found.isalnum() else None


def run_page(run: str | None) -> tuple[str, str]:
    """Address of a run in MLflow's interface, or "" and the reason why there is none."""
    if run is None:
        return "", "Tracking was not available when this was made: there is no MLflow run."
    uri = store_uri()
    if not uri.startswith("sqlite:///"):
        base = uri if uri.startswith(("http://", "https://")) else UI
        return f"{base.rstrip('/')}/#/experiments/1/runs/{run}", ""
    database = Path(uri.removeprefix("sqlite:///"))
    if not database.is_file():
        return "", f"The run was {run}, but the tracking store {database.name} is gone."
    experiment = _experiment(database, run)
    if experiment is None:
        return "", f"The run was {run}, but the tracking store {database.name} does not hold it."
    return f"{UI}/#/experiments/{experiment}/runs/{run}", ""


def _experiment(database: Path, run: str) -> str | None:
    """The experiment a run belongs to; None when the store cannot tell."""
    ask = "SELECT experiment_id FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db,
    ):
        found = db.execute(ask, (run,)).fetchone()
        return str(found[0]) if found else None
    return None


def knobs(root: Path, params: Params, method: str) -> dict[str, Any]:
    """What the method was made with, or will be; nested blocks as ``a.b``.

    Those on the card of its results; where there is none, those in force in ``params.yaml``.
    """
    found = record(root, method, "card").get("parameters")
    return flatten(found if isinstance(found, Mapping) else params.method(method))


def changes(root: Path, params: Params, method: str) -> dict[str, tuple[Any, Any]]:
    """Knobs whose value in ``params.yaml`` is another by now: (of the run, in force).

    ``UNSET`` where one of the two does not have the knob.
    """
    had, now = knobs(root, params, method), flatten(params.method(method))
    pairs = {name: (had.get(name, UNSET), now.get(name, UNSET)) for name in {**had, **now}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def differences(root: Path, params: Params, methods: Sequence[str]) -> pd.DataFrame:
    """Knobs (rows) of several methods (columns) as texts, and whether they differ.

    Those that differ come first; among them, those that all of the methods have.
    """
    frame = pd.DataFrame({m: _texts(knobs(root, params, m)) for m in methods}, dtype="object")
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
    """The shell line that makes the method's results again, with the knobs they were made with."""
    targets = " ".join(f"{stage}@{method}" for stage in STAGES)
    changed = changes(root, params, method)
    if not changed:
        return f"dvc repro {targets}"
    sets = [_override(params, method, name, *pair) for name, pair in changed.items()]
    return " \\\n    ".join(["dvc exp run", *(f"-S {shlex.quote(text)}" for text in sets), targets])


def _override(params: Params, method: str, name: str, had: Any, now: Any) -> str:
    """One change of ``params.yaml`` in the words of ``dvc exp run -S``: ``+`` adds, ``~`` drops."""
    place = f"{_block(params, method, name)}.{name}"
    if had == UNSET:
        return f"~{place}"
    return f"{'+' if now == UNSET else ''}{place}={_text(had)}"


def _block(params: Params, method: str, name: str) -> str:
    """Where in ``params.yaml`` a knob stands: what the scale sets wins over the method's own."""
    scaled = params.block("scales", params.scale, method) or {}
    inside = name.split(".", maxsplit=1)[0] in scaled
    return f"scales.{params.scale}.{method}" if inside else f"methods.{method}"


def experiment(params: Params, method: str) -> str:
    """A shell line that tries another value of a knob: twice the steps."""
    steps = params.method(method).get("steps")
    if not isinstance(steps, int):
        return f"dvc exp run -S seed={params.seed + 1}"
    return f"dvc exp run -S {_block(params, method, 'steps')}.steps={2 * steps}"
