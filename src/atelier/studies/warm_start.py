"""CycleGAN warm-started from the weights of an earlier epoch, beside the training from scratch.

The report began with the weights of epoch 19 of 50. Unlike there, the discriminators begin anew: a
kept checkpoint has the generators, all that a warm start is usually given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from atelier.methods.unpaired import BACK
from atelier.reports.curves import TRAINING, curves
from atelier.studies.bench import Bench, Made
from atelier.studies.findings import Findings, plot, sheet, stacked
from atelier.studies.tables import evenly, scores_of, training_of

BASE, SCRATCH, WARM = "cyclegan", "cyclegan_scratch", "cyclegan_warm"
BEGUN = 19 / 50
"""Share of the training from scratch after which its weights begin the other one."""
CHECKPOINTS, ROWS = 5, 3
COUNTED = ("steps", "steps_in_all", "training_seconds")
SMOOTHED = 20
"""Parts of a training over which its losses are averaged for the plot."""


def study(bench: Bench) -> Findings:
    """Train from scratch, then as long from its early weights; compare both by checkpoint."""
    steps = bench.steps(BASE)
    early, kept = max(1, round(steps * BEGUN)), evenly(steps, CHECKPOINTS)
    plain = {"then": [], "log_every": max(1, steps // 200)}
    first = {"warm_start": None, "keep_checkpoints": sorted({early, *kept})}
    figures = {SCRATCH: bench.train(bench.entry(SCRATCH, BASE, {**plain, **first}))}
    weights = bench.results.model(SCRATCH).checkpoint(early).weights.relative_to(bench.root)
    begun = {"warm_start": weights.as_posix(), "keep_checkpoints": kept}
    figures[WARM] = bench.train(bench.entry(WARM, BASE, {**plain, **begun}))
    before = {SCRATCH: 0, WARM: early}
    made = {name: {step: bench.pictures(name, step) for step in kept} for name in before}
    rows = [
        _row(bench, one, name, step, before[name], training_of(figures[name]))
        for name, pictures in made.items()
        for step, one in pictures.items()
    ]
    untouched = Made(bench.prepared.photos, 0.0, bench.jobs)
    scores = scores_of(bench.score(untouched, paired=False))
    rows.insert(0, {"network": "photographs", **dict.fromkeys(COUNTED), **scores})
    table = pd.DataFrame(rows)
    plots = [
        plot(lambda axes: _distances(axes, table), "steps in all", "Fréchet distance"),
        plot(lambda axes: _losses(axes, bench, before), "steps in all", "cycle loss"),
    ]
    begins = f"{WARM} begins with the weights of {SCRATCH} after step {early:,} of {steps:,}"
    notes = [
        f"{begins}, and trains as long again; its discriminators begin anew.",
        "steps: of this training; steps_in_all: with those that its weights had before.",
    ]
    return Findings(table, stacked(_sheet(bench, made), *plots), notes)


def _row(
    bench: Bench, made: Made, name: str, step: int, before: int, figures: Mapping[str, Any]
) -> dict[str, Any]:
    seconds = figures["training_seconds"] * step / figures["steps"]
    counted = dict(zip(COUNTED, (step, before + step, seconds), strict=True))
    return {"network": name, **counted, **scores_of(bench.score(made, paired=False))}


def _sheet(bench: Bench, made: Mapping[str, Mapping[int, Made]]) -> Any:
    rows, names = [], []
    for job in bench.jobs[:ROWS]:
        for name, pictures in made.items():
            rows.append([job.content, *(one.picture(job.photo) for one in pictures.values())])
            names.append(f"{name.removeprefix(BASE + '_')} {job.photo}")
    steps = next(iter(made.values()))
    return sheet(rows, ["photograph", *(f"step {step:,}" for step in steps)], names)


def _distances(axes: Axes, table: pd.DataFrame) -> None:
    for name, rows in table.dropna(subset="steps").groupby("network", sort=False):
        axes.plot(rows["steps_in_all"], rows["frechet"], "o-", label=str(name))
    axes.axhline(table["frechet"].iloc[0], ls=":", color="grey", label="untouched photographs")


def _losses(axes: Axes, bench: Bench, before: Mapping[str, int]) -> None:
    """Draw the mean of both cycle losses, which both trainings have in the same unit.

    The loss of a single pair says little: pale, behind the mean of those before it.
    """
    for name, earlier in before.items():
        losses = curves(bench.root, name)[TRAINING][[f"cycle_{way}" for way in BACK]].mean(axis=1)
        mean = losses.rolling(max(1, len(losses) // SMOOTHED), min_periods=1).mean()
        (line,) = axes.plot(losses.index + earlier, mean, label=name)
        axes.plot(losses.index + earlier, losses, color=line.get_color(), alpha=0.25, lw=0.8)
