"""Checkpoints that a training kept, as its registered model serves them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.serving.registry import publish
from atelier.serving.stylizer import load_applied
from atelier.tracking import client, store
from support.models import keep, project, train
from support.pictures import ramp

pytestmark = pytest.mark.slow

PHOTO = np.asarray(ramp(72, 48))


@pytest.fixture
def root(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose `cut` is trained."""
    folder = project(tmp_path / "project", "cut")
    shutil.copy(empty_store, folder)
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    return folder


def register(root: Path) -> str:
    return list(publish(root, Params.load(root / "params.yaml")))[-1]


def served(version: int, name: str = "cut") -> Any:
    mlflow = client.library()
    mlflow.set_tracking_uri(store.store_uri())
    try:
        place = f"models:/atelier-{name}/{version}"
        return mlflow.pyfunc.load_model(place, model_config={"device": "cpu"})
    finally:
        mlflow.set_tracking_uri(None)


def test_a_kept_checkpoint_is_served_by_its_step(root: Path) -> None:
    keep(root / "results/models/cut", "cut", 5, seed=9)
    keep(root / "results/models/cut", "cut", 100_000, seed=10)
    register(root)
    model, params = served(1), Params.load(root / "params.yaml")
    made = []
    for asked, name in (({}, "cut"), ({"checkpoint": 5}, "cut@5"), ({"checkpoint": 5.0}, "cut@5")):
        made.append(model.predict({"photo": PHOTO, **asked}))
        wanted = load_applied(root, params, name).stylize(Image.fromarray(PHOTO))
        assert (made[-1] == np.asarray(wanted)).all(), name
    assert (made[0] != made[1]).any()
    assert (model.predict({"photo": PHOTO, "checkpoint": 100_000}) != made[1]).any()
    found = client.library().MlflowClient(store.store_uri()).get_model_version("atelier-cut", "1")
    assert found.tags["checkpoints"] == "5, 100000"
    assert "kept beside the final weights, after steps: 5, 100,000." in found.description


def test_a_step_that_was_not_kept_is_a_sentence(root: Path) -> None:
    keep(root / "results/models/cut", "cut", 5, seed=9)
    register(root)
    model = served(1)
    for step, said in (
        (6, "cut: no weights were kept after step 6; kept steps: 5"),
        (-5, "no weights were kept after step -5"),
        (5.5, "checkpoint has to be a whole number; found 5.5"),
        ("5", "checkpoint has to be a number; found '5'"),
    ):
        with pytest.raises(UserError, match=said):
            model.predict({"photo": PHOTO, "checkpoint": step})


def test_a_model_without_any_has_no_folder_of_them(root: Path) -> None:
    register(root)
    assert list((root / "mlartifacts").rglob("card.json"))
    assert not list((root / "mlartifacts").rglob("checkpoints"))
    with pytest.raises(UserError, match="no weights were kept after step 5; kept steps: none"):
        served(1).predict({"photo": PHOTO, "checkpoint": 5})


def test_checkpoints_kept_since_make_a_version_of_the_same_weights(root: Path) -> None:
    register(root)
    keep(root / "results/models/cut", "cut", 5, seed=9)
    assert register(root) == register(root) == "cut: version 2 of atelier-cut"
    assert served(2).predict({"photo": PHOTO, "checkpoint": 5}).shape == PHOTO.shape


def test_a_checkpoint_is_served_with_the_settings_of_the_results(root: Path) -> None:
    keep(train(root, "adain"), "adain", 5, seed=9)
    applied = {"parameters": {"strength": 0.5}}
    write_json(root / "results/stylized/adain/record.json", applied)
    register(root)
    model, asked = served(1, "adain"), {"photo": PHOTO, "style": PHOTO[::-1], "checkpoint": 5}
    half, full = model.predict(asked), model.predict({**asked, "strength": 1})
    assert (half == model.predict({**asked, "strength": 0.5})).all()
    assert (half != full).any()
