"""A training in phases, by the stage itself: equal to trainings that begin at one another's end."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.core.paths import Results
from atelier.core.phases import phases, total_steps
from atelier.engine import train as engine
from atelier.engine.distributed import ALONE
from atelier.methods.train_settings import TrainSettings
from atelier.tracking.client import Run
from support.pictures import data_folder
from support.scripts import ROOT, script

ADAIN = {"class": "adain", "features": "mini", "layer": "relu3_1", "init": "he", "steps": 3}
ADAIN |= {"batch": 2, "crop": 32, "load_size": None, "snapshots": 1, "log_every": 1, "ema": 0.5}


@pytest.fixture
def stage(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, in a project with prepared pictures."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    shutil.copy(empty_store, "mlflow.db")
    Path("stages").symlink_to(ROOT / "stages")
    prepared = data_folder(Path("results/prepared"), train=5, test=2, paintings=2)
    pairs = {f"test_{n}": f"paintings_{n}.png" for n in range(2)}
    write_json(prepared / "pairing.json", pairs)
    write_json(prepared / "manifest.json", {"digest": "d", "settings": {"size": 32}})
    return script("stages/train.py")


def run(stage: ModuleType, **settings: Any) -> dict[str, Any]:
    """Train; returns the card and the bytes of the weights."""
    block = {**ADAIN, **settings}
    tree = {"scale": "demo", "seed": 1, "device": "cpu", "methods": {"adain": block}}
    Path("params.yaml").write_text(yaml.safe_dump({**tree, "scales": {"demo": {"adain": None}}}))
    stage.main("adain", Params.load(), ALONE)
    out = Results().model("adain")
    return {**json.loads(out.card.read_text()), "weights": out.weights.read_bytes()}


@pytest.mark.slow
def test_a_phase_begins_with_the_weights_before(stage: ModuleType) -> None:
    found = run(stage, then=[{"steps": 2, "lr": 1e-3}])
    assert found["parameters"]["then"] == [{"steps": 2, "lr": 1e-3}]
    with Results().curves("adain").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4", "5"]
    assert json.loads(Results().model("adain").training.read_text())["steps"] == 5
    shutil.rmtree(".checkpoints")
    first = run(stage)
    Path("first.safetensors").write_bytes(first["weights"])
    second = run(stage, steps=2, lr=1e-3, warm_start="first.safetensors")
    assert found["weights"] == second["weights"] != first["weights"]


def test_epochs_are_counted_on_over_the_phases(
    stage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps of two of the five photographs are one."""
    seen: dict[str, dict[int, float]] = {}

    def metrics(_: Run, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            seen.setdefault(name, {})[step] = value

    monkeypatch.setattr(Run, "metrics", metrics)
    run(stage, steps=6, then=[{"steps": 4}])
    losses, means = seen["train/total"], seen["epoch/total"]
    assert list(means) == [1, 2, 3], "the last one is not whole"
    for epoch, mean in means.items():
        steps = range(3 * epoch - 2, 3 * epoch + 1)
        assert mean == pytest.approx(sum(losses[step] for step in steps) / 3)


@pytest.mark.slow
def test_killed_in_a_later_phase_the_earlier_ones_are_not_repeated(
    stage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"then": [{"steps": 2, "lr": 1e-3}, {"steps": 2}]}
    whole = run(stage, **asked)
    shutil.rmtree(".checkpoints")
    began: list[str] = []
    trained = engine.train

    def watched(trainer: Any, *rest: Any) -> None:
        began.append(trainer.folder.name.split("-")[1])
        if len(began) == 2:
            raise KeyboardInterrupt
        trained(trainer, *rest)

    monkeypatch.setattr(stage.train, "train", watched)
    with pytest.raises(KeyboardInterrupt):
        run(stage, **asked)
    assert run(stage, **asked)["weights"] == whole["weights"]
    assert began == ["adain+1", "adain+2", "adain+2", "adain"]


def test_another_last_phase_repeats_no_earlier_one(
    stage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stage, then=[{"steps": 2}])
    monkeypatch.setattr(stage, "teach", lambda *_: pytest.fail("the first phase is done"))
    other = run(stage, then=[{"steps": 2, "lr": 1e-3}])
    (folder,) = Path(".checkpoints").glob("train-adain+1-*")
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-3] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(pytest.fail.Exception, match="the first phase is done"):
        run(stage, then=[{"steps": 2, "lr": 1e-3}])  # damaged: it would be trained again
    assert other["weights"]


def test_settings_of_phases() -> None:
    block = {"steps": 5, "lr": 1.0, "warm_start": "zoo", "then": [{"lr": 0.1}, {"steps": 2}]}
    assert phases(block) == [
        {"steps": 5, "lr": 1.0, "warm_start": "zoo"},
        {"steps": 5, "lr": 0.1, "warm_start": None},
        {"steps": 2, "lr": 0.1, "warm_start": None},
    ]
    assert total_steps(block) == 12
    assert total_steps({"epochs": 3, "then": [{"steps": 1}]}) is None


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ([{"lrr": 1}], r"then\[0\]: lrr: Extra inputs"),
        ([{"steps": 2}, {"lr": -1.0}], r"then\[1\]: lr: Input should be greater than 0"),
        ([{"steps": 0}], r"then\[0\]: .*steps: 0 trains nothing"),
        ([{"then": []}], r"then\[0\]: then is for the whole training"),
        ([{"warm_start": "zoo"}], r"then\[0\]: warm_start is for the whole training"),
        ([3], "dict"),
    ],
)
def test_mistakes_in_phases_are_found_before_training(then: Any, message: str) -> None:
    with pytest.raises((ValidationError, UserError), match=message):
        TrainSettings.model_validate({"steps": 3, "then": then})
