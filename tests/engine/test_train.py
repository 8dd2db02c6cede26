"""The work of the train stage on a data folder in the layout of ``prepare``."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from atelier.core import images, records
from atelier.core.checkpoints import save_weights
from atelier.core.config import UserError
from atelier.core.files import write_json
from atelier.core.paths import CARD, RUN, WEIGHTS, Results
from atelier.engine import train
from atelier.engine.epochs import EpochMeans
from atelier.engine.loop import StepResult
from atelier.methods import trained
from atelier.methods.adaattn import AdaAttNSettings
from atelier.methods.trained import TrainSettings
from support.pictures import data_folder, save
from support.scripts import ROOT
from support.toy import Toy, training


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = data_folder(tmp_path / "results/prepared", train=5, test=3, paintings=2)
    pairs = {f"test_{n}": f"paintings_{n % 2}.png" for n in range(3)}
    (folder / "pairing.json").write_text(json.dumps(pairs))
    return folder


def make(**overrides: object) -> Toy:
    known = {"steps": 6, "batch": 2, "crop": 32, "snapshots": 2, "log_every": 2, "save_minutes": 0}
    return Toy(TrainSettings(**{**known, **overrides}), seed=1)  # type: ignore[arg-type]


def run(method: Toy, prepared: Path, results: Path) -> list[tuple[str, int]]:
    shown: list[tuple[str, int]] = []
    state = train.start(method, prepared, results / "kept")
    train.train(
        state, prepared, "toy", lambda _: None, lambda name, step, _: shown.append((name, step))
    )
    train.write_outputs(state, "toy", Results(results.parent))
    return shown


def test_all_that_a_training_leaves(prepared: Path, tmp_path: Path) -> None:
    method, results = make(), tmp_path / "results"
    shown = run(method, prepared, results)
    photos = ["test_0", "test_1", "test_2"]
    assert shown == [(name, step) for step in (3, 6) for name in photos]
    made = sorted(p.relative_to(results / "snapshots/toy").as_posix()
                  for p in (results / "snapshots/toy").rglob("*.png"))  # fmt: skip
    assert made == [f"{name}/step {step:06d}.png" for name in photos for step in (3, 6)]
    stored = load_file(results / "models/toy/model.safetensors")
    assert all(torch.equal(stored[k], v) for k, v in method.networks.state_dict().items())
    kept = json.loads((results / "models/toy/training.json").read_text())
    assert not [key for key in kept if "seconds" in key], "they are others every time"
    weights = trained.weights_digest(results / "models/toy")
    figures = {**kept, **records.aside(tmp_path, "toy", "training", weights)}
    assert (figures["steps"], figures["photos"], figures["styles"]) == (6, 5, 2)
    assert figures["parameters_trained"] == 24
    assert figures["parameters_by_network"] == {"net": 24}
    assert figures["seconds_per_epoch"] == pytest.approx(figures["seconds_per_step"] * 5 / 2)
    with (results / "curves/toy.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert set(rows[0]) == {"step", "total", "mean"}


def test_epoch_means_weigh_points_by_their_steps(prepared: Path, tmp_path: Path) -> None:
    """Five photographs in batches of two: three steps are an epoch; a point is of two."""
    trainer = train.start(make(), prepared, tmp_path / "kept")
    means = EpochMeans(trainer)
    assert means.length == 3
    assert means.add(2, {"total": 1.0}) == {}
    assert means.add(4, {"total": 4.0}) == {1: {"total": pytest.approx(2.0)}}
    found = means.add(9, {"total": 7.0})
    assert found == {2: {"total": pytest.approx(6.0)}, 3: {"total": pytest.approx(7.0)}}
    trainer.history = {"step": [2.0], "total": [1.0]}
    resumed = EpochMeans(trainer)
    assert resumed.add(4, {"total": 4.0}) == {1: {"total": pytest.approx(2.0)}}


def test_snapshots_are_the_methods_pictures(prepared: Path, tmp_path: Path) -> None:
    method, results = make(), tmp_path / "results"
    run(method, prepared, results)
    content = images.load_batch([prepared / "photos/test/test_1.png"])
    last = images.load(results / "snapshots/toy/test_1/step 000006.png")
    torch.testing.assert_close(last, method.stylize(content, content)[0], rtol=0, atol=0.51 / 255)


def test_restored_weights_give_the_same_pictures(prepared: Path, tmp_path: Path) -> None:
    method, results = make(), tmp_path / "results"
    run(method, prepared, results)
    fresh, content = make(), torch.rand(1, 3, 20, 24)
    assert not torch.equal(fresh.stylize(content, content), method.stylize(content, content))
    trained.restore(fresh, results / "models/toy")
    assert torch.equal(fresh.stylize(content, content), method.stylize(content, content))
    assert trained.weights_digest(results / "models/toy")
    assert trained.weights_digest(tmp_path) is None


def test_weights_that_are_not_those_of_the_card_are_refused(prepared: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    run(make(), prepared, results)
    model = results / "models/toy"
    write_json(model / CARD, {records.WEIGHTS: trained.weights_digest(model)})
    trained.restore(make(), model)
    raw = bytearray((model / trained.WEIGHTS).read_bytes())
    raw[-3] ^= 1  # still a readable file, and another number
    (model / trained.WEIGHTS).write_bytes(raw)
    with pytest.raises(UserError, match="its digest is not the one on the card; remove "):
        trained.restore(make(), model)
    (model / CARD).unlink()
    trained.restore(make(), model)  # made before there were digests


def test_checkpoints_that_are_kept_are_the_weights_of_shorter_trainings(
    prepared: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    run(make(keep_checkpoints=(2, 6), ema=0.5), prepared, results)
    model = Results(tmp_path).model("toy")
    assert model.kept_steps() == [2, 6]
    shorter = tmp_path / "shorter/results"
    run(make(steps=2, ema=0.5), prepared, shorter)
    found = [load_file(model.checkpoint(step).weights) for step in (2, 6)]
    wanted = [load_file(path / "models/toy" / WEIGHTS) for path in (shorter, results)]
    for ours, theirs in zip(found, wanted, strict=True):
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_a_checkpoint_beyond_the_end_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="keep_checkpoints: 7 is beyond the 6 steps"):
        make(keep_checkpoints=(2, 7))


def test_a_seeded_part_of_the_pictures(prepared: Path, tmp_path: Path) -> None:
    few = train.start(make(photos=2, styles=1), prepared, tmp_path / "a").batches
    assert (len(few.contents), len(few.styles)) == (2, 1)
    more = train.start(make(photos=4), prepared, tmp_path / "b").batches
    assert set(few.contents) < set(more.contents), "a smaller choice is a part of a larger one"


def test_general_photographs_are_trained_on_where_the_settings_say_so(
    prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="data/everyday: holds no picture to train on, as photos_"):
        train.start(make(photos_from="everyday"), prepared, tmp_path / "none")
    for n in range(3):
        save(prepared / "everyday" / f"cup_{n}.png", seed=300 + n)
    for source, expected in (("train", 5), ("everyday", 3), ("both", 8)):
        found = train.start(make(photos_from=source), prepared, tmp_path / source).batches
        assert len(found.contents) == expected
        assert any(path.name.startswith("cup") for path in found.contents) == (source != "train")
        assert len(found.styles) == 2
    few = train.start(make(photos_from="both", photos=2), prepared, tmp_path / "few").batches
    assert len(few.contents) == 2


def test_held_out_paintings_are_not_trained_on(prepared: Path, tmp_path: Path) -> None:
    held_out = save(prepared / "test_paintings" / "unseen.png", seed=400)
    found = train.start(make(), prepared, tmp_path / "kept").batches
    assert held_out.name not in {path.name for path in (*found.contents, *found.styles)}
    assert {path.name for path in found.styles} == {"paintings_0.png", "paintings_1.png"}
    method = make()
    method.settings = method.settings.model_copy(update={"style": "unseen"})
    with pytest.raises(UserError, match=r"style: unseen is held out by prepare\.test_paintings"):
        train.start(method, prepared, tmp_path / "refused")


def test_crops_come_from_the_larger_copies_where_smaller_pictures_would_be_enlarged(
    prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(prepared / "photos/train", prepared / "training/photos/train")
    shutil.copytree(prepared / "paintings", prepared / "training/paintings")
    for size, overrides, larger in (
        (40, {}, False),
        (40, {"load_size": 64}, True),
        (40, {"smallest_side": 0.5}, True),
        ([40, 80], {"load_size": 64}, True),
        ([64, 80], {"load_size": 64}, False),
    ):
        write_json(prepared / "manifest.json", {"settings": {"size": size}})
        state = train.start(make(**overrides), prepared, tmp_path / "kept")
        paths = [*state.batches.contents, *state.batches.styles]
        assert {"training" in path.relative_to(prepared).parts for path in paths} == {larger}


def test_an_interrupted_training_says_that_it_resumes(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class StopNowError(Exception):
        pass

    def watch(result: StepResult) -> None:
        if result.step == 5:
            raise StopNowError

    state = train.start(make(), prepared, tmp_path / "results/kept")
    with pytest.raises(StopNowError):
        train.train(state, prepared, "toy", watch, lambda *_: None)
    caplog.set_level(logging.INFO, "atelier")
    shown = run(make(), prepared, tmp_path / "results")
    assert "train toy: resumes after step 4 of 6" in caplog.text
    assert {step for _, step in shown} == {6}
    assert (tmp_path / "results/snapshots/toy/test_0/step 000003.png").is_file()


class Falling(Toy):
    """Its rate falls from the first step to the last."""

    def lr_factor(self, step: int) -> float:
        return 1 - step / (self.settings.steps + 1)


def put_away(kind: type[Toy], prepared: Path, root: Path, steps: int) -> Path:
    """The folder of states after a training."""
    folder = root / "results/kept"
    method = kind(make(steps=steps).settings, seed=1)
    state = train.start(method, prepared, folder)
    train.train(state, prepared, "toy", lambda _: None, lambda *_: None)
    (folder / RUN).write_text("{}")
    train.put_away(folder, state)
    return folder


def test_a_finished_training_leaves_what_more_steps_need(prepared: Path, tmp_path: Path) -> None:
    folder = put_away(Toy, prepared, tmp_path, 4)
    assert {path.name for path in folder.iterdir()} == {"final-00000004.pt", "snapshots"}
    assert train.start(make(steps=6), prepared, folder).step == 4
    put_away(Toy, prepared, tmp_path, 6)
    drawn = {path.stem for path in (folder / "snapshots/test_0").iterdir()}
    assert drawn == {"step 000002", "step 000004", "step 000006"}
    assert {path.name for path in folder.iterdir()} == {"final-00000006.pt", "snapshots"}


def test_one_whose_schedule_knows_its_end_says_why_more_steps_begin_anew(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "atelier")
    folder = put_away(Falling, prepared, tmp_path, 4)
    assert {path.name for path in folder.iterdir()} == {train.DONE}
    put_away(Falling, prepared, tmp_path, 4)
    assert "anew" not in caplog.text
    put_away(Falling, prepared, tmp_path, 6)
    why = "4 steps have other learning rates than 6, from step 2 on"
    assert f"train toy: starts again: {why}" in caplog.text


def test_snapshots_after_the_step_it_resumes_from_are_removed(
    prepared: Path, tmp_path: Path
) -> None:
    stale = tmp_path / "results/kept/snapshots/test_0/step 000005.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier training")
    run(make(), prepared, tmp_path / "results")
    assert not stale.exists()


CARD_OF = {"class": "adain", "lr": 0.1, "steps": 4}


@pytest.mark.parametrize(("key", "value", "same"), [("steps", 9, True), ("lr", 0.2, False)])
def test_states_are_kept_apart_by_settings_but_for_the_number_of_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: float, same: bool
) -> None:
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    monkeypatch.chdir(tmp_path)

    def folder(parameters: dict[str, object]) -> Path:
        return train.resume_folder("adain", {"parameters": parameters}, {"seed": 1})

    assert (folder(CARD_OF) == folder({**CARD_OF, key: value})) == same


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.usefixtures("root_here")
def test_no_steps_write_the_initial_weights(tmp_path: Path, ema: float) -> None:
    one = Toy(TrainSettings(steps=1), seed=1)
    save_weights(one.inference_networks.state_dict(), tmp_path / WEIGHTS)
    trainer = training(tmp_path, steps=0, ema=ema, warm_start=WEIGHTS)
    assert list(trainer.run()) == []
    found, wanted = trainer.final_weights(), one.inference_networks.state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    figures = train.write_outputs(trainer, "toy", Results(tmp_path))
    assert (figures["steps"], figures["seconds_per_step"]) == (0, 0)


@pytest.mark.parametrize(("epochs", "batch", "steps"), [(3, 2, 8), (1, 8, 1), (2, 5, 2)])
def test_epochs_are_passes_over_the_photographs(
    prepared: Path, tmp_path: Path, epochs: int, batch: int, steps: int
) -> None:
    settings = TrainSettings(epochs=epochs, batch=batch, crop=32, snapshots=0)
    state = train.start(Toy(settings, seed=1), prepared, tmp_path / "kept")
    assert state.settings.steps == state.method.settings.steps == steps
    assert [result.step for result in state.run()] == list(range(1, steps + 1))
    part = TrainSettings(epochs=epochs, batch=batch, crop=32, photos=2)
    assert train.start(Toy(part, 1), prepared, tmp_path / "b").settings.steps == -(
        -epochs * 2 // batch
    )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "steps: is missing, and so is epochs"),
        ({"warm_start": "zoo"}, "steps: is missing"),
        ({"steps": 3, "epochs": 2}, "epochs: stands beside steps; keep one"),
    ],
)
def test_a_training_has_either_steps_or_epochs(block: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainSettings.build(block, "methods.m")


def test_adaattns_schedule_has_epochs_beside_its_steps() -> None:
    block = {"features": "mini", "epochs": 3}
    assert AdaAttNSettings.build({**block, "steps": 9}, "m").counted(80).steps == 9
    assert AdaAttNSettings.build({**block, "batch": 8}, "m").counted(80).steps == 30
    with pytest.raises(UserError, match="steps: is missing"):
        AdaAttNSettings.build({"features": "mini"}, "m")


def test_rates_and_times_are_curves_while_it_runs(prepared: Path, tmp_path: Path) -> None:
    state = train.start(make(steps=5), prepared, tmp_path / "kept")
    state.optimizers["other"] = torch.optim.Adam(state.method.networks.parameters(), lr=0.5)
    state.rates["other"] = [0.5]
    state.method.lr_factor = lambda step: 1 / (1 + step)  # type: ignore[method-assign]
    pace = train.Pace(state)
    found = [(result.step, pace.point()) for result in state.run() if result.losses]
    assert [step for step, _ in found] == [2, 4, 5]
    wanted = [state.settings.lr / step for step, _ in found]
    assert [point["lr_main"] for _, point in found] == pytest.approx(wanted)
    assert {point["lr_other"] for _, point in found} == {0.5}, "not used"
    for part in ("step", "data"):
        spent = sum(
            count * point[f"{part}_seconds"]
            for count, (_, point) in zip((2, 2, 1), found, strict=True)
        )
        assert spent == pytest.approx(state.seconds[part])


def test_parameters_are_counted_network_by_network() -> None:
    inner = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(1, 1, bias=False)})
    found = dict(train.per_network(nn.ModuleDict({"generator": inner, "head": nn.Linear(4, 1)})))
    assert found == {"generator.a": 9, "generator.b": 1, "head": 5}


def test_no_steps_from_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="steps: 0 trains nothing"):
        TrainSettings.build({"steps": 0}, "methods.toy")
