"""Train one method, if it has networks to train; write its card and open its run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from atelier.core import records, zoo_files
from atelier.core.config import Params, UserError
from atelier.core.device import pick_device
from atelier.core.files import read_json, write_json
from atelier.core.layout import PhotosFrom
from atelier.core.paths import RUN, Results
from atelier.core.phases import phases
from atelier.core.purpose import split
from atelier.core.stage_settings import stage_settings
from atelier.engine import train
from atelier.engine.distributed import ProcessGroup, is_main, launch, own_device, process_group
from atelier.engine.epochs import EpochMeans
from atelier.engine.loop import StepResult, Trainer
from atelier.methods import trained
from atelier.methods.base import Method, make, system_of
from atelier.methods.trained import Trained
from atelier.tracking.client import Run, open_run
from atelier.tracking.inputs import data_inputs
from atelier.tracking.stage import stage, stage_entry, tune_process

NAMED = ("features", "features_hash", "loss_features", "loss_features_hash", "kind")
RESULTS = Results()


def learn(state: Trainer, name: str, run: Run, before: train.Earlier) -> None:
    """Train; the curves go on from those of the phases before."""
    pace, epochs = train.Pace(state), EpochMeans(state)
    earlier = before.steps // epochs.length  # counted in this phase's batches

    def watch(result: StepResult) -> None:
        found = {**result.losses, **pace.point()} if result.losses else {}
        run.metrics({f"train/{k}": value for k, value in found.items()}, before.steps + result.step)
        for number, means in epochs.add(result.step, result.losses).items() if found else ():
            run.metrics({f"epoch/{k}": value for k, value in means.items()}, earlier + number)

    def show(photo: str, step: int, image: Tensor) -> None:
        run.image(image, f"snapshot_{photo}", before.steps + step)

    train.train(state, RESULTS.prepared.folder, name, watch, show)


def note(state: Trainer, name: str, run: Run, before: train.Earlier) -> None:
    """Write and log what a training leaves."""
    figures = train.write_outputs(state, name, RESULTS, before)
    run.summary({key: value for key, value in figures.items() if not isinstance(value, dict)})
    run.summary(
        {f"parameters.{name}": count for name, count in figures["parameters_by_network"].items()}
    )
    run.artifact(RESULTS.model(name).weights)


@dataclass(frozen=True)
class Phase:
    """One phase of a training, most of which have no other."""

    name: str
    params: Params
    block: Mapping[str, Any]
    """Its settings."""
    begins: Mapping[str, Any]
    """Facts of the zoo's entry that the training begins from, if any."""
    data: str
    before: train.Earlier = train.FIRST
    number: int = 0
    """From 1, of those that others follow; 0: the last."""

    @cached_property
    def method(self) -> Method[Any]:
        """Built without the settings used to apply: weights and snapshots do not depend on them."""
        warm = {"warm_start": f"zoo:{self.begins['entry']}"} if self.begins else {}
        called = {**self.block, **({} if self.before.weights else warm)}
        where, params = f"methods.{self.name}", self.params
        parts = split(system_of(called, where).Settings, called)
        own, device = {**parts["train"], **parts["run"]}, own_device(pick_device(params))
        places = params.places(self.name)
        return make(own, where, seed=params.seed, device=device, places=places)

    def card(self, block: Mapping[str, Any]) -> dict[str, Any]:
        """Return the card with the settings of ``block``."""
        settings = split(self.method.Settings, block)["train"]
        card = {"method": self.name, **self.method.training_card(), "parameters": settings}
        return {**card, "pretrained": self.begins} if self.begins else card

    @cached_property
    def kept(self) -> Path:
        """Folder of its checkpoints."""
        known = {"seed": self.params.seed, "data": self.data}
        if self.before.weights:
            known["before"] = trained.weights_digest(self.before.weights.parent)
        return train.resume_folder(self.name, self.card(self.block), known, self.number)

    def start(self, group: ProcessGroup) -> Trainer | None:
        """Return its training; None for a system without one."""
        if not isinstance(self.method, Trained):
            return None
        before = self.before.weights
        return train.start(self.method, RESULTS.prepared.folder, self.kept, group, before)

    def finished(self) -> train.Earlier | None:
        """Return what it left, if others follow and it is done."""
        return train.finished_phase(self.kept, self.block.get("steps"), self.before)

    def run(self, card: Mapping[str, Any], run_id: str | None) -> Run:
        """Open the training's run, noted so that it resumes there if it is killed."""
        known = {key: card.get(key) for key in NAMED}
        known["pretrained"] = zoo_files.history(card) or None
        tags = {"scale": self.params.scale, "data": self.data, **known}
        noted = {"scale": self.params.scale, "seed": self.params.seed, **card["parameters"]}
        run = open_run(self.name, "train", noted, tags, run_id=begun(self.kept) or run_id)
        write_json(self.kept / RUN, {"run_id": run.id})
        return run


def main(name: str, params: Params, group: ProcessGroup) -> None:
    block = stage_settings(params, name)
    data = read_json(RESULTS.prepared.manifest)["digest"]
    begins = zoo_files.warm_facts(block, name, Path())
    *earlier, last = phases(block)
    before, run_id = train.FIRST, None
    for number, part in enumerate(earlier, 1):
        phase = Phase(name, params, part, begins, data, before, number)
        if not group.from_main(phase.finished):
            teach(phase, block, group, run_id)
        train.share_phase(phase.kept, group)
        run_id, done = begun(phase.kept) or run_id, phase.finished()
        if done is None:
            raise UserError(f"{phase.kept}: what phase {number} left is damaged; delete the folder")
        before = done
    finish(Phase(name, params, last, begins, data, before), block, group, run_id)


def teach(phase: Phase, block: Mapping[str, Any], group: ProcessGroup, run_id: str | None) -> None:
    """Train a phase that others follow."""
    state = phase.start(group)
    assert state is not None  # noqa: S101 - only systems that are trained have phases
    if group.is_main:
        with phase.run(phase.card(block), run_id) as run:
            learn(state, phase.name, run, phase.before)
            train.end_phase(state)
    else:
        train.run_worker(state)
    group.gather(None)  # the others wait until the weights are written


def finish(phase: Phase, block: Mapping[str, Any], group: ProcessGroup, run_id: str | None) -> None:
    """Train the last phase; write the results."""
    state, name, out = phase.start(group), phase.name, RESULTS.model(phase.name)
    if not group.is_main:
        train.run_worker(state)
        return
    card = phase.card(block)
    with phase.run(card, run_id) as run:
        photos_from: PhotosFrom = state.settings.photos_from if state else "train"
        run.inputs(data_inputs(RESULTS.prepared.manifest, photos_from))
        if state:
            learn(state, name, run, phase.before)
            note(state, name, run, phase.before)
        else:
            print(f"{name}: nothing to train; wrote its card")
            train.write_empty_outputs(name, RESULTS)
        write_json(out.card, {**card, records.WEIGHTS: trained.weights_digest(out.folder)})
        for step in out.kept_steps():
            made = out.checkpoint(step)
            digest = trained.weights_digest(made.folder)
            write_json(made.card, {**card, "step": step, records.WEIGHTS: digest})
        run.artifact(out.card)
        records.set_aside(Path(), name, "run", {"run_id": run.id}, records.digest_of([out.card]))
    train.put_away(phase.kept, state)


def begun(kept: Path) -> str | None:
    return read_json(kept / RUN)["run_id"] if (kept / RUN).is_file() else None


if __name__ == "__main__":
    tune_process()
    entry = stage_entry()
    with stage("train", entry if is_main() else None):
        found = Params.load()
        launch(found.devices, pick_device(found), found.nodes)
        with process_group(pick_device(found)) as everyone:
            main(entry, found, everyone)
