"""The five systems of the table, each trained, applied to the test set and scored."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from atelier.studies.bench import Bench, Made
from atelier.studies.findings import Findings, plot, sheet, stacked
from atelier.studies.tables import scores_of

SYSTEMS = ("gatys", "arbitrary", "cyclegan", "adaattn", "ugatit")
UNTOUCHED = "photographs"


def study(bench: Bench) -> Findings:
    """Score every system, and the untouched photographs."""
    made = {UNTOUCHED: Made(bench.prepared.photos, 0.0, bench.jobs)}
    rows = []
    for name in SYSTEMS:
        bench.train(bench.entry(name, name))
        made[name] = bench.pictures(name)
    for name, one in made.items():
        paired = name not in {UNTOUCHED, "cyclegan", "ugatit"}
        record = bench.score(one, paired=paired)
        rows.append(
            {
                "system": name,
                "features": record["features"],
                "seconds_per_picture": one.seconds or None,
                **scores_of(record),
            }
        )
    table = pd.DataFrame(rows)
    pictures = [
        [job.style, *(one.picture(job.photo) for one in made.values())] for job in bench.shown
    ]
    bars = plot(lambda axes: _bars(axes, table), "", "Fréchet distance to the paintings")
    note = "On other features than inception_fid the Fréchet distance is no FID."
    return Findings(table, stacked(sheet(pictures, ["painting", *made]), bars), [note])


def _bars(axes: Axes, table: pd.DataFrame) -> None:
    axes.bar(table["system"], table["frechet"])
