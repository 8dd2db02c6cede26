"""MetaNet adapted: 20 batches of training photographs with one painting, then many photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd

from atelier.core.batches import Batches
from atelier.core.checkpoints import save_weights
from atelier.core.paths import WEIGHTS
from atelier.engine.loop import Trainer
from atelier.methods.trained import Trained, weights_digest
from atelier.studies.bench import Bench
from atelier.studies.findings import Findings, sheet
from atelier.studies.tables import scores_of
from atelier.tracking.progress import progress

BASE, ADAPTED = "metanet_original", "metanet_adapted"
BATCHES = 20
"""Of training photographs, as in the report."""


def study(bench: Bench) -> Findings:
    """Adapt the trained networks to the first photograph's painting; compare before and after."""
    bench.train(bench.entry(BASE, BASE))
    quiet = {"steps": BATCHES, "then": [], "keep_checkpoints": [], "warm_start": None}
    bench.entry(ADAPTED, BASE, quiet)
    painting = bench.jobs[0].style
    jobs = [replace(job, style=painting) for job in bench.jobs]
    key = [weights_digest(bench.model(BASE)), bench.key(ADAPTED), str(painting)]
    model, seconds = bench.once("adapt", key, lambda folder: _adapt(bench, folder, painting))
    before = bench.pictures(BASE, jobs=jobs)
    after = bench.applied(ADAPTED, model, jobs)
    rows: list[dict[str, Any]] = [
        {"networks": name, "adaptation_seconds": taken, "seconds_per_picture": made.seconds}
        | {"pictures": len(jobs), **scores_of(bench.score(made))}
        for name, taken, made in (("trained", None, before), ("adapted", seconds, after))
    ]
    pictures = [
        [job.content, before.picture(job.photo), after.picture(job.photo)] for job in bench.shown
    ]
    figure = sheet([[None, painting, None], *pictures], ["photograph", "trained", "adapted"])
    return Findings(pd.DataFrame(rows), figure, ["The first row of the figure is the painting."])


def _adapt(bench: Bench, folder: Path, painting: Path) -> float:
    """Train on batches of photographs with the one painting; return the seconds."""
    method = cast("Trained[Any]", bench.method(ADAPTED, bench.model(BASE)))
    batches = Batches(bench.training_photos, [painting], method.plan(), bench.source.seed)
    trainer = Trainer(method, batches, folder, before=bench.results.model(BASE).weights)
    for _ in progress(trainer.run(), BATCHES - trainer.step, f"adapt {BASE}"):
        pass
    save_weights(trainer.final_weights(), folder / WEIGHTS)
    return sum(trainer.seconds.values())
