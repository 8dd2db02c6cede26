"""TransNet's five kept checkpoints: content × style × epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from atelier.core.config import UserError
from atelier.core.pairing import Job
from atelier.metrics.pairwise import painting_named
from atelier.studies.bench import Bench
from atelier.studies.findings import Findings, sheet
from atelier.studies.tables import evenly, scores_of, training_of

STYLES = ("fast_night", "fast_blossom", "fast_roots")
CHECKPOINTS, ROWS = 5, 2
REPORT: dict[str, Any] = {
    "padding": "zeros", "style_loss": "gram", "style_layer_weights": None, "style_weight": 1.0e5,
    "batch_gram": True, "unit_activations": False, "steps": 300, "batch": 3, "photos": 6,
    "crop": 512, "flip": False,
}  # fmt: skip
"""The report's setting, in which six photographs are an epoch of two steps; used at scale full."""


def study(bench: Bench) -> Findings:
    """Train one network per painting; apply each of its checkpoints to the test set."""
    rows, pictures, names = [], [], []
    for base in STYLES:
        changes = dict(REPORT) if bench.source.scale == "full" else {"then": []}
        steps = changes.get("steps") or bench.steps(base)
        kept = evenly(steps, CHECKPOINTS)
        name = bench.entry(f"{base}_kept", base, {**changes, "keep_checkpoints": kept})
        figures, jobs = bench.train(name), _jobs(bench, name)
        made = {step: bench.pictures(name, step, jobs) for step in kept}
        for step, one in made.items():
            share = training_of(figures)["training_seconds"] * step / steps
            scores = scores_of(bench.score(one))
            rows.append({"network": base, "step": step, "training_seconds": share, **scores})
        for job in jobs[:ROWS]:
            pictures.append(
                [job.style, job.content, *(o.picture(job.photo) for o in made.values())]
            )
            names.append(f"{base} {job.photo}")
    columns = ["painting", "photograph", *(f"{n + 1} of {len(kept)}" for n in range(len(kept)))]
    notes = ["style: distance to the entry's own painting; content: to the photograph."]
    return Findings(pd.DataFrame(rows), sheet(pictures, columns, names), notes)


def _jobs(bench: Bench, name: str) -> list[Job]:
    """Return the test set with the painting of the entry in place of its own."""
    wanted = bench.source.method(name.removesuffix("_kept"))["style"]
    paintings = {path.name: path for path in bench.training_paintings}
    found = painting_named(wanted, sorted(paintings))
    if found is None:
        raise UserError(f"{name}: there is no painting {wanted}")
    return [replace(job, style=Path(paintings[found])) for job in bench.jobs]
