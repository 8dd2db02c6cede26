"""Train one method, if it has networks to train; write its card and open its run."""

from pathlib import Path

from torch import Tensor

from atelier.core import records, zoo_files
from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import read_json, write_json
from atelier.core.paths import RUN, Results
from atelier.core.purpose import split
from atelier.core.stage_settings import stage_settings
from atelier.engine import train
from atelier.engine.distributed import ProcessGroup, is_main, launch, own_device, process_group
from atelier.engine.loop import StepResult, Trainer
from atelier.methods import trained
from atelier.methods.base import make, system_of
from atelier.methods.trained import Trained
from atelier.tracking.client import Run, open_run
from atelier.tracking.inputs import data_inputs
from atelier.tracking.stage import stage, stage_entry, tune_process

NAMED = ("features", "features_hash", "loss_features", "loss_features_hash", "kind")
RESULTS = Results()


def learn(state: Trainer, name: str, run: Run) -> None:
    pace = train.Pace(state)

    def watch(result: StepResult) -> None:
        found = {**result.losses, **pace.point()} if result.losses else {}
        run.metrics({f"train/{key}": value for key, value in found.items()}, result.step)

    def show(photo: str, step: int, image: Tensor) -> None:
        run.image(image, f"snapshot_{photo}", step)

    train.train(state, RESULTS.prepared.folder, name, watch, show)
    figures = train.write_outputs(state, name, RESULTS)
    run.summary({key: value for key, value in figures.items() if not isinstance(value, dict)})
    run.summary(
        {f"parameters.{name}": count for name, count in figures["parameters_by_network"].items()}
    )
    run.artifact(RESULTS.model(name).weights)


def main(name: str, params: Params, group: ProcessGroup) -> None:
    block, seed, out = stage_settings(params, name), params.seed, RESULTS.model(name)
    begins = zoo_files.warm_facts(block, name, Path())
    called = {**block, "warm_start": f"zoo:{begins['entry']}"} if begins else block
    device, places = own_device(pick_device(params)), params.places(name)
    where = f"methods.{name}"
    parts = split(system_of(called, where).Settings, called)
    # without the settings used to apply: weights and snapshots do not depend on them
    method = make(
        {**parts["train"], **parts["run"]}, where, seed=seed, device=device, places=places
    )
    settings = split(method.Settings, block)["train"]
    card = {"method": name, **method.training_card(), "parameters": settings}
    if begins:
        card["pretrained"] = begins
    data = read_json(RESULTS.prepared.manifest)["digest"]
    known = {**{key: card.get(key) for key in NAMED}, "pretrained": zoo_files.history(card) or None}
    tags = {"scale": params.scale, "data": data, **known}
    kept = train.resume_folder(name, card, {"seed": seed, "data": data})
    state = None
    if isinstance(method, Trained):
        state = train.start(method, RESULTS.prepared.folder, kept, group)
    if not group.is_main:
        train.run_worker(state)
        return
    noted = {"scale": params.scale, "seed": seed, **settings}
    with open_run(name, "train", noted, tags, run_id=begun(kept)) as run:
        run.inputs(data_inputs(RESULTS.prepared.manifest))
        write_json(kept / RUN, {"run_id": run.id})  # if killed, it resumes in the same run
        if state:
            learn(state, name, run)
        else:
            print(f"{name}: nothing to train; wrote its card")
            train.write_empty_outputs(name, RESULTS)
        write_json(out.card, {**card, records.WEIGHTS: trained.weights_digest(out.folder)})
        run.artifact(out.card)
        records.set_aside(Path(), name, "run", {"run_id": run.id}, records.digest_of([out.card]))
    train.put_away(kept, state)


def begun(kept: Path) -> str | None:
    return read_json(kept / RUN)["run_id"] if (kept / RUN).is_file() else None


if __name__ == "__main__":
    tune_process()
    entry = stage_entry()
    with stage("train", entry if is_main() else None):
        found = Params.load()
        launch(found.devices, pick_device(found))
        with process_group(pick_device(found)) as everyone:
            main(entry, found, everyone)
