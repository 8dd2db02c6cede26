"""Draw the trainings of the zoo: scores after every phase, and losses by step.

    python -m tools.trainings                   # draws docs/figures/trainings.png
    python -m tools.trainings PROJECT NAME ...  # first takes the losses of these entries there

``docs/figures/trainings.json`` holds ``scores``, entry → phases with their ``steps``, ``frechet``
and ``content`` (null where a phase was not scored), by hand from ``docs/log.md``, and ``losses``,
entry → loss → ``step`` and ``value``, from trainings, as means of equal intervals.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from atelier.core.config import UserError
from atelier.core.files import atomic, read_json, write_json
from atelier.metrics.catalogue import HEADLINE, PRICE
from atelier.reports.curves import TRAINING, curves

FIGURES = Path("docs/figures")
NUMBERS, PICTURE = FIGURES / "trainings.json", FIGURES / "trainings.png"
SCORES = {HEADLINE: "Fréchet distance, VGG19", PRICE: "content distance, VGG19"}
LOSSES = ("content", "style")
POINTS = 60
"""Intervals of a curve: single steps differ more than the whole curve falls."""


def means(curve: pd.Series, points: int = POINTS) -> dict[str, list[float]]:
    """Return the means of at most ``points`` equal intervals of a curve over its steps."""
    curve = curve.dropna()
    place = np.arange(len(curve)) * min(points, len(curve)) // max(1, len(curve))
    parts = curve.reset_index().groupby(place).mean()
    step, value = (parts[name].tolist() for name in parts.columns)
    return {"step": [round(n, 1) for n in step], "value": [float(f"{v:.4g}") for v in value]}


def take(project: Path, name: str) -> dict[str, Any]:
    """Return the losses of an entry's training.

    Raises:
        UserError: it has not been trained.
    """
    found = curves(project, name).get(TRAINING)
    if found is None:
        how = f"run `dvc repro train@{name}` there first"
        raise UserError(f"{project}: {name} has no curves; {how}")
    return {loss: means(found[loss]) for loss in LOSSES if loss in found}


def _scores(axes: Axes, found: Mapping[str, Any], key: str) -> None:
    for place, (name, phases) in enumerate(sorted(found.items())):
        ends = accumulate(phase["steps"] for phase in phases)
        known = [(n, p[key]) for n, p in zip(ends, phases, strict=True) if p[key] is not None]
        style = ("-o", "--s")[place // 10 % 2]  # colours repeat after ten
        axes.plot(*zip(*known, strict=True), style, ms=4, lw=1.2, label=name)
    axes.set(xlabel="steps", title=f"{SCORES[key]}, after each phase")


def _losses(axes: Axes, found: Mapping[str, Any]) -> None:
    for place, (name, losses) in enumerate(sorted(found.items())):
        for style, loss in zip(("-", "--"), LOSSES, strict=True):
            if loss in losses:
                curve, label = losses[loss], f"{name}, {loss}"
                axes.plot(curve["step"], curve["value"], style, c=f"C{place}", label=label)
    axes.set(xlabel="steps", title="losses, means of intervals")


def draw(found: Mapping[str, Any]) -> Figure:
    """Return the figure: both scores after each phase, and the losses."""
    figure = Figure((15, 5.5), layout="constrained")
    *scores, losses = figure.subplots(1, 3)
    for axes, key in zip(scores, SCORES, strict=True):
        _scores(axes, found["scores"], key)
    _losses(losses, found["losses"])
    for axes in (scores[1], losses):
        axes.legend(fontsize=7, ncols=2)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure


def main(project: Path | None = None, *names: str) -> None:
    """Take losses, if asked to, and draw.

    Raises:
        UserError: an entry has not been trained.
    """
    found = read_json(NUMBERS)
    if project:
        found["losses"] |= {name: take(project, name) for name in names}
        write_json(NUMBERS, found)
    with atomic(PICTURE) as part:
        draw(found).savefig(part, format="png", dpi=110)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if sys.argv[1:] else None, *sys.argv[2:])
    except UserError as error:
        sys.exit(str(error))
