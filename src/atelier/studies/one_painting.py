"""One painting for the whole test set, by Ghiasi's system."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from atelier.studies.bench import Bench
from atelier.studies.findings import Findings, sheet
from atelier.studies.tables import scores_of

ENTRY = "arbitrary"


def study(bench: Bench) -> Findings:
    """Stylise all test photographs with one painting, and with the one each is paired with."""
    bench.train(bench.entry(ENTRY, ENTRY))
    painting = bench.jobs[0].style
    one = bench.pictures(ENTRY, jobs=[replace(job, style=painting) for job in bench.jobs])
    own = bench.pictures(ENTRY)
    rows = [
        {"paintings": name, "pictures": len(made.jobs), "seconds_per_picture": made.seconds}
        | scores_of(bench.score(made))
        for name, made in (("one", one), ("each its own", own))
    ]
    pictures = [
        [job.content, one.picture(job.photo), job.style, own.picture(job.photo)]
        for job in bench.shown
    ]
    columns = ["photograph", "one painting", "its own painting", "with its own"]
    figure = sheet([[None, painting, None, None], *pictures], columns)
    return Findings(pd.DataFrame(rows), figure, ["The first row of the figure is the painting."])
