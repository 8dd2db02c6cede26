"""Train one method, if it is one to train, and write its card; opens the run of the method."""

import sys
from pathlib import Path

from torch import Tensor

from atelier.core import records
from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import read_json, write_json
from atelier.engine import train
from atelier.engine.distributed import ProcessGroup, is_main, launch, own_device, process_group
from atelier.engine.loop import StepResult, Trainer
from atelier.engine.resume import checkpoint_folder, drop
from atelier.methods import trained
from atelier.methods.base import CARD, make
from atelier.methods.trained import Trained
from atelier.tracking.client import Run, open_run
from atelier.tracking.stage import stage

NAMED = ("features", "features_hash", "loss_features", "loss_features_hash", "kind")
RESULTS, RUN = Path("results"), "run.json"


def learn(state: Trainer, name: str, run: Run) -> None:
    def watch(result: StepResult) -> None:
        run.metrics({f"train/{key}": value for key, value in result.losses.items()}, result.step)

    def show(photo: str, step: int, image: Tensor) -> None:
        run.image(image, f"snapshot_{photo}", step)

    train.train(state, RESULTS / "prepared", name, watch, show)
    figures = train.write_outputs(state, name, RESULTS)
    run.summary({key: value for key, value in figures.items() if not isinstance(value, dict)})
    run.artifact(RESULTS / "models" / name / trained.WEIGHTS)


def main(name: str, params: Params, group: ProcessGroup) -> None:
    block, seed, out = params.method(name), params.seed, RESULTS / "models" / name
    method = make(block, f"methods.{name}", seed=seed, device=own_device(pick_device(params)))
    card = {"method": name, **method.training_card(), "parameters": block}
    data = read_json(RESULTS / "prepared/manifest.json")["digest"]
    known = {key: card.get(key) for key in NAMED}
    tags = {"scale": params.scale, "data": data, **known}
    kept = checkpoint_folder(f"train-{name}", {"card": card, "seed": seed, "data": data})
    state = None
    if isinstance(method, Trained):
        state = train.start(method, RESULTS / "prepared", kept, group)
    if not group.is_main:
        train.run_worker(state)
        return
    knobs = {"scale": params.scale, "seed": seed, **block}
    with open_run(name, "train", knobs, tags, run_id=begun(kept)) as run:
        write_json(kept / RUN, {"run_id": run.id})  # killed, it goes on in the same run
        if state:
            learn(state, name, run)
        else:
            print(f"{name}: optimises each picture, nothing to train; wrote its card")
            train.write_empty_outputs(name, RESULTS)
        write_json(out / CARD, {**card, records.WEIGHTS: trained.weights_digest(out)})
        run.artifact(out / CARD)
        records.set_aside(Path(), name, "run", {"run_id": run.id}, records.digest_of([out / CARD]))
    drop(kept)


def begun(kept: Path) -> str | None:
    return read_json(kept / RUN)["run_id"] if (kept / RUN).is_file() else None


if __name__ == "__main__":
    with stage("train", sys.argv[1] if is_main() else None):
        found = Params.load()
        launch(found.devices, pick_device(found))
        with process_group(pick_device(found)) as everyone:
            main(sys.argv[1], found, everyone)
