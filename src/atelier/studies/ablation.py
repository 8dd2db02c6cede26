"""MetaNet's variants side by side: loss network, style loss and block, one at a time."""

from __future__ import annotations

import pandas as pd

from atelier.studies.bench import Bench
from atelier.studies.findings import Findings, sheet
from atelier.studies.tables import scores_of, training_of

VARIANTS = ("metanet_original", "metanet_a", "metanet_b", "metanet_c", "metanet_improved")
CHANGED = ("features", "loss_features", "style_loss", "middle")
"""Settings in which the report's variants differ."""


def study(bench: Bench) -> Findings:
    """Train all variants, and compare them on the test set."""
    rows, made, notes = [], {}, []
    for name in VARIANTS:
        figures = training_of(bench.train(bench.entry(name, name)))
        made[name] = bench.pictures(name)
        block = {key: value for key, value in bench.source.method(name).items() if key in CHANGED}
        seconds = {"seconds_per_picture": made[name].seconds}
        rows.append(
            {"entry": name, **block, **figures, **seconds, **scores_of(bench.score(made[name]))}
        )
    pictures = [
        [job.content, job.style, *(one.picture(job.photo) for one in made.values())]
        for job in bench.shown
    ]
    table = pd.DataFrame(rows)
    if "steps" not in table:
        notes.append("Weights of the zoo as they are: no training here, and no time of one.")
    return Findings(table, sheet(pictures, ["photograph", "painting", *VARIANTS]), notes)
