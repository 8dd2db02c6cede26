"""Train one method, if it is one to train, and write its card; opens the run of the method."""

import sys
from pathlib import Path

from torch import Tensor

from atelier.core.config import Params
from atelier.core.files import read_json, write_json
from atelier.learn import training
from atelier.learn.distributed import Team, joined, leads, own_device, spread
from atelier.learn.engine import Tick, Training
from atelier.learn.stylize import checkpoint_folder, drop
from atelier.methods.base import make
from atelier.methods.trained import Trained
from atelier.stage import pick_device, stage
from atelier.tracking import Run, open_run

NAMED = ("features", "features_hash", "loss_features", "loss_features_hash", "kind")
RESULTS, RUN = Path("results"), "run.json"


def learn(state: Training, name: str, run: Run) -> None:
    def watch(tick: Tick) -> None:
        run.metrics({f"train/{key}": value for key, value in tick.losses.items()}, tick.step)

    def show(photo: str, step: int, image: Tensor) -> None:
        run.image(image, f"snapshot_{photo}", step)

    training.train(state, RESULTS / "prepared", name, watch, show)
    figures = training.deliver(state, name, RESULTS)
    run.summary({key: value for key, value in figures.items() if not isinstance(value, dict)})
    run.artifact(RESULTS / "models" / name / training.WEIGHTS)


def main(name: str, params: Params, team: Team) -> None:
    block, seed, out = params.method(name), params.seed, RESULTS / "models" / name
    method = make(block, f"methods.{name}", seed=seed, device=own_device(pick_device(params)))
    card = {"method": name, **method.training_card(), "parameters": block}
    data = read_json(RESULTS / "prepared/manifest.json")["digest"]
    known = {key: card.get(key) for key in NAMED}
    tags = {"scale": params.scale, "data": data, **known}
    kept = checkpoint_folder(f"train-{name}", {"card": card, "seed": seed, "data": data})
    state = None
    if isinstance(method, Trained):
        state = training.start(method, RESULTS / "prepared", kept, team)
    if not team.leads:
        training.follow(state)
        return
    knobs = {"scale": params.scale, "seed": seed, **block}
    with open_run(name, "train", knobs, tags, run_id=begun(kept)) as run:
        write_json(kept / RUN, {"run_id": run.id})  # killed, it goes on in the same run
        if state:
            learn(state, name, run)
        else:
            print(f"{name}: optimises each picture, nothing to train; wrote its card")
            training.deliver_nothing(name, RESULTS)
        write_json(out / "card.json", card)
        run.artifact(out / "card.json")
        write_json(out / "run.json", {"run_id": run.id})
    drop(kept)


def begun(kept: Path) -> str | None:
    return read_json(kept / RUN)["run_id"] if (kept / RUN).is_file() else None


if __name__ == "__main__":
    with stage("train", sys.argv[1] if leads() else None):
        found = Params.load()
        spread(found.devices, pick_device(found))
        with joined(pick_device(found)) as everyone:
            main(sys.argv[1], found, everyone)
