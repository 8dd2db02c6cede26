"""Stylise the test photographs with one method; log the optimisation of the first batch."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import read_json, write_json
from atelier.core.fingerprint import stage_code
from atelier.core.pairing import Job, list_jobs
from atelier.core.paths import Results
from atelier.core.purpose import split
from atelier.core.records import APPLIED, PICTURES, digest_of, set_aside
from atelier.core.resume import checkpoint_folder, drop
from atelier.core.stage_settings import stage_settings
from atelier.core.workers import workers_of
from atelier.engine.curves import write_curves
from atelier.engine.elsewhere import Elsewhere, SavedMethod
from atelier.engine.snapshots import SNAPSHOT_PHOTOS, IterateSnapshots
from atelier.engine.stylize import (
    BatchRecord,
    cost,
    mean_curves,
    stylize,
    write_extras,
    write_outputs,
)
from atelier.methods.base import Iterate, Method, make
from atelier.methods.optimisation import Optimisation
from atelier.methods.trained import restore, weights_digest
from atelier.tracking.client import Run, open_run
from atelier.tracking.links import TRAINED_BY, training_run
from atelier.tracking.stage import stage, stage_entry, tune_process

RESULTS = Results()


def watch(run: Run, number: int, it: Iterate) -> None:
    if number > 0:  # only the first batch: a curve per batch would be unreadable
        return
    run.metrics({f"loss/{name}": loss.mean() for name, loss in it.losses.items()}, it.step)


def snapshots(method: Method[Any], jobs: Sequence[Job], run: Run) -> IterateSnapshots | None:
    """Those of an optimisation; a system that is trained has its own, of its training."""
    if not isinstance(method, Optimisation):
        return None

    def show(photo: str, step: int, image: Tensor) -> None:
        run.image(image, f"snapshot_{photo}", step)

    return IterateSnapshots(jobs[:SNAPSHOT_PHOTOS], method.settings.snapshots, show)


def log_curves(run: Run, first: BatchRecord) -> None:
    """Log what ``watch`` does of batches made elsewhere, but for the snapshots."""
    for step, values in enumerate(zip(*first.curves.values(), strict=True), start=1):
        run.metrics({f"loss/{loss}": v for loss, v in zip(first.curves, values, strict=True)}, step)


def main(name: str) -> None:
    params, prepared, out = Params.load(), RESULTS.prepared, RESULTS.stylized(name)
    block, device = stage_settings(params, name), pick_device(params)
    places = params.places(name)
    method = make(block, f"methods.{name}", seed=params.seed, device=device, places=places)
    model, jobs = RESULTS.model(name), list_jobs(prepared.folder)
    restore(method, model.folder)
    manifest, trained = read_json(prepared.manifest), training_run(Path(), name)
    parts = split(method.Settings, block)
    key = {
        "parameters": {**parts["train"], **parts["apply"]},
        "seed": params.seed,
        "data": manifest["digest"],
        "card": method.card(),
        "jobs": [str(job) for job in jobs],
        "weights": weights_digest(model.folder),
    }
    kept = checkpoint_folder(f"stylize-{name}", key, stage_code("stylize", block["class"]))
    known = {"scale": params.scale, "seed": params.seed, **key["parameters"]}
    live = method.kind == "optimisation"  # other kinds have no curves; `compare` logs the rest
    with open_run(name, "stylize", known, run_id=trained) if live else nullcontext() as run:
        seen = partial(watch, run) if run else lambda *_: None
        shown = snapshots(method, jobs, run) if run else None
        with workers_of(params) as workers:
            sent = SavedMethod.read(params, name, block, model.folder)
            pool = Elsewhere(workers, params, sent, method.card(), shown) if workers else None
            make_batches = pool.make if pool else None
            records = stylize(method, jobs, kept, seen, f"stylize {name}", shown, make_batches)
        if run and pool:
            log_curves(run, records[0])
        write_outputs(jobs, kept, out.images)
        write_extras(method, jobs, kept, out.extras)
        write_curves(mean_curves(records), out.curves)
        record = {
            "method": name,
            "run_id": run.id if run else trained,
            TRAINED_BY: trained,
            **cost(records),
            APPLIED: parts["apply"],
            "pairs": {j.photo: method.card().get("style", j.style.name) for j in jobs},
        }
        pictures = digest_of(sorted(out.images.glob("*.png")))
        kept_record = set_aside(Path(), name, "stylize", record, pictures)
        write_json(out.record, {**kept_record, PICTURES: pictures})
    drop(kept)


if __name__ == "__main__":
    tune_process()
    entry = stage_entry()
    with stage("stylize", entry):
        main(entry)
