"""U-GAT-IT on 50 photographs: does it over-fit? Ten checkpoints, each applied to the test set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes

from atelier.core import images
from atelier.methods.ugatit import Ugatit
from atelier.studies.bench import Bench, Made
from atelier.studies.findings import Findings, plot, sheet, stacked
from atelier.studies.tables import evenly, scores_of

PHOTOS, CHECKPOINTS, ROWS = 50, 10, 3
ENTRY = "ugatit_50"


def study(bench: Bench) -> Findings:
    """Train with ten kept checkpoints; compare what each makes of the test set with paintings."""
    kept = evenly(bench.steps("ugatit"), CHECKPOINTS)
    changes = {"photos": PHOTOS, "keep_checkpoints": kept, "snapshots": CHECKPOINTS, "then": []}
    bench.train(bench.entry(ENTRY, "ugatit", changes))
    made = {step: bench.pictures(ENTRY, step) for step in kept}
    untouched = Made(bench.prepared.photos, 0.0, bench.jobs)
    rows = [{"step": 0, **scores_of(bench.score(untouched, paired=False))}]
    rows += [{"step": n, **scores_of(bench.score(one, paired=False))} for n, one in made.items()]
    table = pd.DataFrame(rows)
    figure = stacked(_sheet(bench, made), plot(lambda axes: _curve(axes, table), "step", "Fréchet"))
    return Findings(table, figure, _notes(table))


def _sheet(bench: Bench, made: dict[int, Made]) -> Any:
    """Return photographs and, below each, its heat maps, by checkpoint."""
    heat = {step: _heat_maps(bench, step) for step in made}
    rows: list[list[Path | None]] = []
    names = []
    for job in bench.jobs[:ROWS]:
        rows.append([job.content, *(one.picture(job.photo) for one in made.values())])
        rows.append([None, *(folder / f"{job.photo}.png" for folder in heat.values())])
        names += [job.photo, "attention"]
    return sheet(rows, ["photograph", *(f"step {step:,}" for step in made)], names)


def _heat_maps(bench: Bench, step: int) -> Path:
    """Write where a checkpoint's generator to art looks; return the folder."""
    model, jobs = bench.model(ENTRY, step), bench.jobs[:ROWS]

    def make(folder: Path) -> list[str]:
        method = cast("Ugatit", bench.method(ENTRY, model))
        for job in jobs:
            _, heat = method.explained(images.load_batch([job.content]), "to_art")
            images.save_png(heat[0], folder / f"{job.photo}.png")
        return [job.photo for job in jobs]

    key = [bench.key(ENTRY), step]
    return bench.once("attention", key, make)[0]


def _curve(axes: Axes, table: pd.DataFrame) -> None:
    trained = table[table["step"] > 0]
    axes.plot(trained["step"], trained["frechet"], "o-", label="to the paintings")
    axes.axhline(table["frechet"].iloc[0], ls=":", color="grey", label="untouched photographs")


def _notes(table: pd.DataFrame) -> list[str]:
    trained = table[table["step"] > 0]
    best = trained.sort_values("frechet")["step"].iloc[0]
    return [
        "Step 0: the photographs themselves.",
        f"The Fréchet distance is lowest after step {best:,} of {trained['step'].max():,}.",
    ]
