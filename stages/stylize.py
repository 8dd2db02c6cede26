"""Stylise the test photographs with one method; if it optimises them, its run shows how."""

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from atelier.core import paths
from atelier.core.config import Params
from atelier.core.device import device_name, peak_memory_mib, pick_device
from atelier.core.files import read_json, write_json
from atelier.core.pairing import list_jobs
from atelier.core.records import PICTURES, digest_of, set_aside
from atelier.engine.curves import write_curves
from atelier.engine.resume import checkpoint_folder, drop
from atelier.engine.stylize import mean_curves, stylize, write_extras, write_outputs
from atelier.methods.base import Iterate, make
from atelier.methods.trained import restore, weights_digest
from atelier.tracking.client import Run, open_run
from atelier.tracking.stage import stage

SAMPLES = 4  # pictures of the first batch that are logged at the quarters of the way


def watch(run: Run, number: int, it: Iterate) -> None:
    if number > 0:  # the first batch stands for all: a curve per batch would be unreadable
        return
    run.metrics({f"loss/{name}": loss.mean() for name, loss in it.losses.items()}, it.step)
    if it.step == 1 or it.step % max(1, it.total // 4) == 0:
        for index, image in enumerate(it.image[:SAMPLES]):
            run.image(image, f"sample_{index}", it.step)


def main(name: str) -> None:
    params, prepared, out = Params.load(), Path("results/prepared"), Path("results/stylized") / name
    block, device = params.method(name), pick_device(params)
    method = make(block, f"methods.{name}", seed=params.seed, device=device)
    model, jobs = Path("results/models") / name, list_jobs(prepared)
    restore(method, model)
    manifest = read_json(prepared / "manifest.json")
    run_id = paths.record(Path(), name, "run").get("run_id")
    key = {
        "parameters": block,
        "seed": params.seed,
        "data": manifest["digest"],
        "card": method.card(),
        "jobs": [str(job) for job in jobs],
        "weights": weights_digest(model),
    }
    kept = checkpoint_folder(f"stylize-{name}", key)
    known = {"scale": params.scale, "seed": params.seed, **block}
    live = method.kind == "optimise"  # elsewhere there is nothing to watch; `compare` logs the rest
    with open_run(name, "stylize", known, run_id=run_id) if live else nullcontext() as run:
        seen = partial(watch, run) if run else lambda *_: None
        records = stylize(method, jobs, kept, seen, f"stylize {name}")
        write_outputs(jobs, kept, out / "images")
        write_extras(method, jobs, out / "extras")
        write_curves(mean_curves(records), out / "curves.csv")
        record = {
            "method": name,
            "run_id": run.id if run else run_id,
            "seconds_per_picture": sum(record.seconds for record in records) / len(jobs),
            "peak_memory_mib": peak_memory_mib(),
            "device": device_name(device),
            "pairs": {j.photo: method.card().get("style", j.style.name) for j in jobs},
        }
        pictures = digest_of(sorted((out / "images").glob("*.png")))
        kept_record = set_aside(Path(), name, "stylize", record, pictures)
        write_json(out / "record.json", {**kept_record, PICTURES: pictures})
    drop(kept)


if __name__ == "__main__":
    with stage("stylize", sys.argv[1]):
        main(sys.argv[1])
