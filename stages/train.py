"""Train one method, if it is one to train, and write its card; opens the run of the method."""

import sys
from pathlib import Path

from torch import Tensor

from atelier import training
from atelier.config import Params
from atelier.engine import Tick
from atelier.files import read_json, write_json
from atelier.methods.base import make
from atelier.methods.trained import Trained
from atelier.stage import pick_device, stage
from atelier.stylize import checkpoint_folder, drop
from atelier.tracking import Run, open_run

RESULTS = Path("results")


def learn(method: Trained, name: str, kept: Path, run: Run) -> None:
    state = training.start(method, RESULTS / "prepared", kept)

    def watch(tick: Tick) -> None:
        run.metrics({f"train/{key}": value for key, value in tick.losses.items()}, tick.step)

    def show(photo: str, step: int, image: Tensor) -> None:
        run.image(image, f"snapshot_{photo}", step)

    training.train(state, RESULTS / "prepared", name, watch, show)
    figures = training.deliver(state, name, RESULTS)
    run.summary({key: value for key, value in figures.items() if not isinstance(value, dict)})
    run.artifact(RESULTS / "models" / name / training.WEIGHTS)


def main(name: str) -> None:
    params, out = Params.load(), RESULTS / "models" / name
    block, seed = params.method(name), params.seed
    method = make(block, f"methods.{name}", seed=seed, device=pick_device(params))
    card = {"method": name, **method.card(), "parameters": block}
    data = read_json(RESULTS / "prepared/manifest.json")["digest"]
    known = {key: card.get(key) for key in ("features", "features_hash", "kind")}
    tags = {"scale": params.scale, "data": data, **known}
    kept = checkpoint_folder(f"train-{name}", {"card": card, "seed": seed, "data": data})
    with open_run(name, "train", {"scale": params.scale, "seed": seed, **block}, tags) as run:
        if isinstance(method, Trained):
            learn(method, name, kept, run)
        else:
            print(f"{name}: optimises each picture, nothing to train; wrote its card")
            training.deliver_nothing(name, RESULTS)
        write_json(out / "card.json", card)
        run.artifact(out / "card.json")
        write_json(out / "run.json", {"run_id": run.id})
    drop(kept)


if __name__ == "__main__":
    with stage("train", sys.argv[1]):
        main(sys.argv[1])
