"""Gatys by L-BFGS from noise at two style weights, its iterates, and reconstructions by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from atelier.core import images
from atelier.core.pairing import Job
from atelier.methods.base import Iterate
from atelier.nn.pretrained.features import layer_names
from atelier.studies.bench import Bench
from atelier.studies.findings import Findings, sheet, stacked
from atelier.tracking.progress import progress

BASE = "gatys_lbfgs"
RAW = {"unit_activations": False, "tv_weight": 0.0, "batch": 1, "fill_batch": False}
"""As the report has it: features as they are, no total variation."""
WEIGHTS = (1.0e6, 1.0e4)
ITERATES, ROWS = 20, 2
"""Iterates in the sheet: every 50 of the report's 1,000 steps; photographs."""
BLOCKS = range(1, 6)


def study(bench: Bench) -> Findings:
    """Optimise a few photographs at both weights, and one from single layers."""
    steps = bench.steps(BASE)
    every = max(1, steps // ITERATES)
    places = sorted({1, *range(every, steps + 1, every)})
    rows, pictures, names = [], [], []
    for weight in WEIGHTS:
        name = bench.entry(
            f"gatys_{weight:.0e}".replace("+0", ""), BASE, {**RAW, "style_weight": weight}
        )
        for job in bench.jobs[:ROWS]:
            folder, losses = _iterates(bench, name, job, places)
            rows += [{"style_weight": weight, "photo": job.photo, **one} for one in losses]
            pictures.append([job.content, job.style, *(_at(folder, step) for step in places)])
            names.append(f"{weight:.0e} {job.photo}")
    columns = ["photograph", "painting", *(f"step {step}" for step in places)]
    figure = stacked(sheet(pictures, columns, names, cell=96), _reconstructions(bench))
    notes = [
        "Losses are those before the step. L-BFGS: a step is one evaluation of the loss.",
        "Lower sheet: content from one layer, and style from all layers up to it, from noise.",
    ]
    return Findings(pd.DataFrame(rows), figure, notes)


def _reconstructions(bench: Bench) -> Any:
    """Return what each block's first layer keeps of content, and its layers so far of style."""
    job, steps = bench.jobs[0], bench.steps(BASE)
    layers = _first_layers(str(bench.source.method(BASE)["features"]))
    rows: list[list[Path]] = [[job.content], [job.style]]
    for number, layer in enumerate(layers, 1):
        content = {"content_layers": [layer], "style_layers": [layer], "style_weight": 0.0}
        style = {"style_layers": layers[:number], "content_layers": [layer], "content_weight": 0.0}
        for row, kind, changes in zip(rows, ("content", "style"), (content, style), strict=True):
            name = bench.entry(f"{kind}_{layer}", BASE, {**RAW, **changes})
            row.append(_at(_iterates(bench, name, job, [steps])[0], steps))
    return sheet(rows, ["original", *layers], ["content", "style"])


def _first_layers(network: str) -> list[str]:
    """Return the first layer of each block, before the ReLU where it can be tapped there."""
    known = layer_names(network)
    names = [(f"conv{block}_1", f"relu{block}_1") for block in BLOCKS]
    return [next(name for name in both if name in known) for both in names]


def _at(folder: Path, step: int) -> Path:
    return folder / f"step {step:06d}.png"


def _iterates(
    bench: Bench, name: str, job: Job, places: Sequence[int]
) -> tuple[Path, list[Mapping[str, float]]]:
    """Return the folder of the iterates at ``places``, and their losses."""

    def make(folder: Path) -> list[dict[str, float]]:
        method, found = bench.method(name), []
        content, style = images.load_batch([job.content]), images.load_batch([job.style])
        total = method.steps(*content.shape[2:])
        for it in progress(method.iterates(content, style), total, f"{name} {job.photo}"):
            if it.step in places:
                images.save_png(it.image[0], _at(folder, it.step))
                found.append(_losses(it))
        return found

    key = [bench.entries[name], bench.code("stylize", name), str(job), list(places)]
    return bench.once(name, key, make)


def _losses(it: Iterate) -> dict[str, float]:
    return {"step": it.step, **{key: value.item() for key, value in it.losses.items()}}
