"""The comparison's run, the methods' descriptions, and models that load and paint."""

from __future__ import annotations

import base64
import shutil
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from atelier.core.config import Params, UserError
from atelier.core.files import read_json, write_json
from atelier.core.records import PICTURES, set_aside
from atelier.reports import votes
from atelier.reports.preferences import NEEDED
from atelier.serving import registry
from atelier.serving.look import Look
from atelier.serving.registry import publish
from atelier.serving.stylizer import load_applied
from atelier.tracking import client, links, store
from atelier.tracking.client import open_run
from support.models import GUIDED, METHODS, project, train
from support.pictures import ramp
from support.projects import DATA, digest
from support.voters import say
from support.zoo import entry

pytestmark = pytest.mark.slow

PHOTO, STYLE = np.asarray(ramp(72, 48)), np.asarray(ramp(64, 56, seed=3))
SCORE = {"features": "mini", "features_hash": "b1b", "n_generated": 8, "n_reference": 16}


@pytest.fixture
def root(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two trained methods, scored, the first with a run of its own."""
    folder = project(tmp_path / "project", "cut", "adain")
    shutil.copy(empty_store, folder)
    tree = yaml.safe_load((folder / "params.yaml").read_text())
    tree["compare"] = {"champion": "frechet"}
    (folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    with open_run("cut", "train", {}) as run:
        write_json(folder / "results/models/cut/run.json", {"run_id": run.id})
    score(folder, "cut", frechet=20.0)
    score(folder, "adain", frechet=30.0)
    (folder / "results/comparison/sheets").mkdir(parents=True)
    ramp().save(folder / "results/comparison/grid.png")
    return folder


def score(root: Path, name: str, **values: Any) -> None:
    """Scores as `evaluate` leaves them; what varies stands in the records, as `stylize` left it."""
    made = {PICTURES: f"pictures of {name}"}
    kept = set_aside(root, name, "stylize", values, made[PICTURES])
    write_json(root / f"results/metrics/{name}.json", {"method": name, **SCORE, **made, **kept})


def go(root: Path) -> list[str]:
    return list(publish(root, Params.load(root / "params.yaml")))


def mlflow_client() -> Any:
    return client.library().MlflowClient(store.store_uri())


def load(name: str) -> Any:
    mlflow = client.library()
    mlflow.set_tracking_uri(store.store_uri())
    try:
        return mlflow.pyfunc.load_model(f"models:/{name}@champion", model_config={"device": "cpu"})
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.slow
def test_every_trained_method_is_a_model_and_its_run_is_described(root: Path) -> None:
    assert go(root) == [
        "adain: version 1 of atelier-adain, which is the champion",
        "cut: version 1 of atelier-cut, which is the champion",
    ]
    found = mlflow_client().get_model_version_by_alias("atelier-cut", "champion")
    own = mlflow_client().get_run(found.run_id)
    assert own.info.run_name.startswith("cut ")
    assert own.data.tags["mlflow.note.content"] == found.description
    assert "| Fréchet distance to the paintings | 20 |" in found.description
    assert found.tags["frechet"] == "20.0"
    assert found.source == f"runs:/{found.run_id}/models/cut", "no place on disk"


def test_a_method_that_is_not_trained_here_is_served_with_the_zoos_weights(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATELIER_ZOO")
    entry(root / "zoo", "fast_night")
    entry(root / "zoo", "cut")
    score(root, "fast_night", frechet=1.0)  # of another training, whose weights are gone
    begun = "12,000 steps on photographs and Van Gogh"
    told = go(root)
    assert told[0] == f"fast_night: version 1 of atelier-fast_night ({begun})"
    assert "cut: version 1 of atelier-cut, which is the champion" in told, "one's own comes first"
    (found,) = mlflow_client().search_model_versions("name='atelier-fast_night'")
    assert found.tags["pretrained"] == begun
    assert "frechet" not in found.tags
    assert f"Pretrained: {begun}" in found.description


def test_the_comparison_is_a_run_with_its_grid(root: Path) -> None:
    score(root, "cut", frechet=20.0, held_out={"frechet": 33.0, "n_reference": 6})
    go(root)
    (run,) = mlflow_client().search_runs(["1"], "tags.method = 'comparison'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["frechet/cut"] == 20
    found = {key: value for key, value in run.data.metrics.items() if key.startswith("held_out")}
    assert found == {"held_out_frechet/cut": 33.0}
    assert run.data.params["champion"] == "frechet"
    assert "| cut " in run.data.tags["mlflow.note.content"]
    names = {file.path for file in mlflow_client().list_artifacts(run.info.run_id)}
    assert names == {"grid.png"}, "sheets are left out"


def test_peoples_votes_are_logged_with_the_comparison(root: Path) -> None:
    for name in ("cut", "adain"):
        write_json(root / f"results/stylized/{name}/record.json", {PICTURES: digest(name)})
    write_json(root / "results/prepared/manifest.json", {"digest": DATA})
    for n in range(NEEDED):
        votes.add(root, say("cut", "adain", "left", f"voter {n}"))
    go(root)
    (run,) = mlflow_client().search_runs(["1"], "tags.method = 'comparison'")
    assert run.data.metrics["preference_overall/cut"] > 0
    assert run.data.metrics["votes_overall/adain"] == NEEDED
    names = {file.path for file in mlflow_client().list_artifacts(run.info.run_id)}
    assert names == {"grid.png", "votes.csv"}


def test_a_methods_run_gets_its_scores_and_a_grid(root: Path) -> None:
    for split in ("photos/test", "paintings"):
        (root / "results/prepared" / split).mkdir(parents=True)
        ramp().save(root / "results/prepared" / split / "a.png")
    score(root, "cut", frechet=20.0, ssim=0.5, denoised={**SCORE, "frechet": 19.0})
    go(root)
    own = str(read_json(root / "results/models/cut/run.json")["run_id"])
    found = mlflow_client().get_run(own).data.metrics
    assert (found["frechet_mini"], found["ssim"], found["denoised.frechet_mini"]) == (20, 0.5, 19)
    assert "grid.png" in {file.path for file in mlflow_client().list_artifacts(own)}


def test_scores_that_are_there_are_not_written_again(root: Path) -> None:
    go(root)
    own = str(read_json(root / "results/models/cut/run.json")["run_id"])
    score(root, "cut", frechet=20.0, ssim=0.5)
    go(root)
    history = [
        len(mlflow_client().get_metric_history(own, name)) for name in ("frechet_mini", "ssim")
    ]
    assert history == [1, 1]


def test_a_failed_method_gets_no_scores_of_an_earlier_training(root: Path) -> None:
    go(root)
    train(root, "cut", width=8)
    with open_run("cut", "train", {}) as run:
        write_json(root / "results/models/cut/run.json", {"run_id": run.id})
    key = Params.load().key("cut")
    failed = {"stage": "stylize", "state": "failed", "error": "no", "key": key}
    write_json(root / "results/status/cut.json", failed)
    assert go(root)[1] == "cut: version 2 of atelier-cut", "no champion without figures"
    found = mlflow_client().get_run(run.id)
    assert "frechet_mini" not in found.data.metrics
    assert found.data.tags["status"] == "failed"
    champion = mlflow_client().get_model_version_by_alias("atelier-cut", "champion")
    assert str(champion.version) == "1"


@pytest.mark.parametrize("run_id", [None, "0" * 32])
def test_a_result_whose_run_is_not_here_gets_one(root: Path, run_id: str | None) -> None:
    score(root, "adain", frechet=30.0, run_id=run_id)
    go(root)
    go(root)
    (run,) = mlflow_client().search_runs(["1"], "tags.method = 'adain'")
    assert (run.data.metrics["frechet_mini"], run.info.status) == (30, "FINISHED")
    assert run.data.tags["stands_for"] == str(run_id)


def runs_of(name: str) -> list[Any]:
    return list(mlflow_client().search_runs(["1"], f"tags.method = '{name}'"))


def test_without_records_the_pictures_digest_tells_the_run(root: Path) -> None:
    go(root)
    (before,) = runs_of("adain")
    assert before.data.tags[PICTURES] == "pictures of adain"
    shutil.rmtree(root / "results/records")  # as a clone has it that got the results from a cache
    score_alone = read_json(root / "results/metrics/adain.json")
    write_json(root / "results/metrics/adain.json", {**score_alone, "frechet": 31.0})
    shutil.rmtree(root / "results/records", ignore_errors=True)
    go(root)
    (after,) = runs_of("adain")
    assert after.info.run_id == before.info.run_id
    assert after.data.metrics["frechet_mini"] == 31


@pytest.mark.parametrize("made", ["other pictures", "pictures of cut"])
def test_a_run_of_other_pictures_is_not_taken(root: Path, made: str) -> None:
    go(root)
    shutil.rmtree(root / "results/records")
    scores = {**read_json(root / "results/metrics/adain.json"), PICTURES: made, "frechet": 7.0}
    write_json(root / "results/metrics/adain.json", scores)
    go(root)
    found = {run.data.tags[PICTURES]: run.data.metrics["frechet_mini"] for run in runs_of("adain")}
    assert found == {"pictures of adain": 30, made: 7}


def test_the_run_of_the_scores_comes_before_that_of_the_training(root: Path) -> None:
    with open_run("cut", "stylize", {}) as run:
        score(root, "cut", frechet=20.0, run_id=run.id)
    go(root)
    assert mlflow_client().get_run(str(run.id)).data.metrics["frechet_mini"] == 20


def test_registry_and_dashboard_take_the_run_that_stylize_opened_anew(root: Path) -> None:
    trained = links.training_run(root, "cut")
    with open_run("cut", "stylize", {}) as run:
        found = {"run_id": run.id, links.TRAINED_BY: trained}
    score(root, "cut", frechet=20.0, **found)
    go(root)
    version = mlflow_client().get_model_version_by_alias("atelier-cut", "champion")
    address, _ = links.page_of(root, "cut")
    assert version.run_id == run.id != trained
    assert address.endswith(f"/runs/{run.id}")


def test_a_picture_that_fails_costs_no_model(root: Path, monkeypatch, caplog) -> None:
    def full(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(registry, "comparison_grid", full)
    assert len(go(root)) == 2
    assert "no scores of adain from here on" in caplog.text


def test_other_settings_of_the_evaluation_stand_at_the_run(root: Path) -> None:
    own, seen = str(read_json(root / "results/models/cut/run.json")["run_id"]), []
    for eyes in ("mini", "vgg19"):
        score(root, "cut", frechet=20.0, perceptual=eyes)
        go(root)
        seen.append(mlflow_client().get_run(own).data.tags["protocol"])
    assert " mini " in seen[0]
    assert " vgg19 " in seen[1]


def test_a_champion_by_a_denoised_figure(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    text = text.replace("champion: frechet", "champion: denoised_frechet")
    (root / "params.yaml").write_text(text)
    score(root, "cut", frechet=20.0, denoised={**SCORE, "frechet": 19.0})
    assert go(root)[1] == "cut: version 1 of atelier-cut, which is the champion"


def test_nothing_new_makes_no_version(root: Path) -> None:
    assert go(root) == go(root)
    assert len(mlflow_client().search_model_versions("")) == 2


def test_the_better_training_is_the_champion(root: Path) -> None:
    go(root)
    train(root, "cut", width=8)
    score(root, "cut", frechet=25.0)
    assert go(root)[1] == "cut: version 2 of atelier-cut; champion: 1"
    train(root, "cut", width=12)
    score(root, "cut", frechet=15.0)
    assert go(root)[1] == "cut: version 3 of atelier-cut, which is the champion"
    assert str(mlflow_client().get_model_version_by_alias("atelier-cut", "champion").version) == "3"


def test_figures_of_another_protocol_are_not_compared(root: Path) -> None:
    go(root)
    train(root, "cut", width=8)
    score(root, "cut", frechet=99.0, features="vgg19", features_hash="c2c")
    assert go(root)[1] == "cut: version 2 of atelier-cut, which is the champion"


def test_a_figure_can_be_better_when_it_is_higher(root: Path) -> None:
    text = (root / "params.yaml").read_text().replace("champion: frechet", "champion: ssim")
    (root / "params.yaml").write_text(text)
    score(root, "cut", frechet=20.0, ssim=0.5)
    go(root)
    train(root, "cut", width=8)
    score(root, "cut", frechet=10.0, ssim=0.4)
    assert go(root)[1] == "cut: version 2 of atelier-cut; champion: 1"


def test_an_unknown_figure_is_a_sentence(root: Path) -> None:
    text = (root / "params.yaml").read_text().replace("champion: frechet", "champion: fid")
    (root / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"compare\.champion: 'fid' is not one of frechet, "):
        go(root)


def test_a_method_without_figures_is_registered_without_a_title(root: Path) -> None:
    (root / "results/metrics/cut.json").unlink()
    assert go(root)[1] == "cut: version 1 of atelier-cut"
    assert mlflow_client().get_registered_model("atelier-cut").aliases == {}


SAVE = registry._save


def broken_for_adain(card: Path, weights: Path, target: Path) -> None:
    if target.name == "adain":
        raise OSError("no room")
    SAVE(card, weights, target)


def test_one_that_cannot_be_registered_stops_no_other(root: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(registry, "_save", broken_for_adain)
    assert go(root) == ["cut: version 1 of atelier-cut, which is the champion"]
    (told,) = caplog.records
    assert told.getMessage().startswith(
        "MLflow: no model of adain from here on, the work continues"
    )


def test_a_dead_store_is_one_line(root: Path, caplog) -> None:
    (root / "mlflow.db").write_bytes(b"this is not a database" * 100)
    assert go(root) == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["dead", "one model"])
def test_asked_for_by_hand_what_the_store_did_not_take_is_an_error(
    kind: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "dead":
        (root / "mlflow.db").write_bytes(b"this is no database" * 100)
    monkeypatch.setattr(registry, "_save", broken_for_adain)
    said = {"dead": "took nothing, see above", "one model": "took no model of adain, see above"}
    lines: list[str] = []
    with pytest.raises(UserError, match=said[kind]):
        lines.extend(publish(root, Params.load(root / "params.yaml"), strict=True))
    runs = [] if kind == "dead" else mlflow_client().search_runs(["1"], "tags.method = 'cut'")
    assert len(runs) == (kind != "dead"), "the others are done first"


def test_a_loaded_model_paints_as_the_method_does(root: Path) -> None:
    go(root)
    made = load("atelier-adain").predict({"photo": PHOTO, "style": STYLE, "strength": 0.5})
    applied = load_applied(root, Params.load(), "adain")
    wanted = applied.stylize(Image.fromarray(PHOTO), Image.fromarray(STYLE), Look(0.5))
    assert (made == np.asarray(wanted)).all()
    assert made.dtype == np.uint8


def test_a_model_is_text_and_safetensors(root: Path) -> None:
    go(root)
    files = {path.name for path in (root / "mlartifacts").rglob("*") if "cut" in path.parts}
    assert files >= {registry.CODE.name, "card.json", "model.safetensors", "MLmodel"}
    assert not [name for name in files if name.endswith((".pkl", ".pt", ".pth"))]
    (written,) = (root / "mlartifacts").glob("*/artifacts/models/cut/requirements.txt")
    assert "atelier" not in written.read_text(), "its name on the public index is not ours"


def test_one_saved_with_code_of_old_is_saved_again(root: Path, monkeypatch) -> None:
    with monkeypatch.context() as old:
        old.setattr(registry, "CODE", shutil.copy(registry.CODE, root / "served.py"))
        score(root, "cut", frechet=10.0)
        go(root)
    score(root, "cut", frechet=20.0)
    told = go(root)[1]
    assert told == "cut: version 2 of atelier-cut, which is the champion", "the better is of old"
    assert load("atelier-cut").predict(PHOTO).shape == PHOTO.shape


def test_models_survive_a_move_of_the_project(root: Path, monkeypatch) -> None:
    go(root)
    moved = root.rename(root.with_name("moved"))
    monkeypatch.chdir(moved)
    with open_run("cut", "train", {}):
        pass
    assert load("atelier-cut").predict(PHOTO).shape == PHOTO.shape


def test_pictures_go_in_and_come_out_in_the_same_kind(root: Path) -> None:
    go(root)
    model = load("atelier-cut")
    one = model.predict(PHOTO)
    assert (model.predict(np.stack([PHOTO, PHOTO[::-1]]))[0] == one).all()
    assert model.predict(np.stack([PHOTO])[:0]).shape == (0, *PHOTO.shape)
    assert model.predict({"photo": PHOTO, "max_side": np.int64(54)}).shape == (36, 54, 3)
    small = PHOTO[:40]
    assert [made.shape for made in model.predict([PHOTO, small])] == [PHOTO.shape, small.shape]
    file = BytesIO()
    Image.fromarray(PHOTO).save(file, format="PNG")
    data = file.getvalue()
    assert (np.asarray(Image.open(BytesIO(model.predict(data)))) == one).all()
    text = base64.b64encode(data).decode()
    frame = pd.DataFrame([{"photo": text, "max_side": 54.0}, {"photo": text, "max_side": np.nan}])
    (again,) = model.predict(pd.Series([text]))
    assert (np.asarray(Image.open(BytesIO(base64.b64decode(again)))) == one).all()
    sizes = [Image.open(BytesIO(base64.b64decode(t))).size for t in model.predict(frame)]
    assert sizes == [(54, 36), (72, 48)]


def test_mixtures_and_masks_are_those_of_the_command_line(root: Path) -> None:
    go(root)
    model, paintings = load("atelier-adain"), [PHOTO[::-1], 255 - PHOTO]
    applied = load_applied(root, Params.load(root / "params.yaml"), "adain")
    pair = [Image.fromarray(one) for one in paintings]
    asked = {"photo": PHOTO, "style": paintings}
    mixed = applied.stylize(Image.fromarray(PHOTO), list(zip(pair, (3, 1), strict=True)))
    assert (model.predict({**asked, "weights": [3, 1]}) == np.asarray(mixed)).all()
    equal = model.predict(asked)
    assert (equal == model.predict({**asked, "style": np.stack(paintings)})).all()
    mask = np.zeros_like(PHOTO)
    mask[:, 36:] = 255
    masked = model.predict({**asked, "mask": mask})
    alone = model.predict({"photo": PHOTO, "style": paintings[0]})
    assert (masked[:, :30] == alone[:, :30]).all()
    assert (masked[:, 40:] != alone[:, 40:]).any()
    assert (masked != equal).any()


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # of MLflow, as it is imported
def test_a_request_takes_both_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "guided", GUIDED)
    folder = project(tmp_path)
    applied = load_applied(folder, Params.load(folder / "params.yaml"), "guided")
    masks = {name: np.zeros_like(PHOTO) for name in ("mask", "style_mask")}
    masks["mask"][:, 36:] = masks["style_mask"][:, :20] = 255
    asked = {"photo": PHOTO, "style": STYLE, **masks}
    made = import_module("atelier.serving.pyfunc").stylize(lambda _: applied, asked)
    look = Look(**{name: Image.fromarray(one) for name, one in masks.items()})
    wanted = applied.stylize(Image.fromarray(PHOTO), Image.fromarray(STYLE), look)
    assert (made == np.asarray(wanted)).all()


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # of MLflow, as it is imported
def test_of_a_large_jpeg_a_request_decodes_no_more_than_it_asks_for() -> None:
    pyfunc = import_module("atelier.serving.pyfunc")
    file = BytesIO()
    ramp(1024, 512).save(file, format="JPEG", quality=90)
    text = base64.b64encode(file.getvalue()).decode()
    for picture in (file.getvalue(), text):
        assert pyfunc.decode(picture).size == pyfunc.decode(picture, 400).size == (1024, 512)
        assert pyfunc.decode(picture, 64).size == (128, 64)


EXPECTED = "expected photo and style, weights, strength, stroke, max_side, checkpoint, direction"
EXPECTED += ", colour, mask, style_mask, heatmap"
WRONG: list[tuple[Any, str]] = [
    (np.zeros((4, 4)), "a picture is uint8"),
    ({"picture": PHOTO}, f"{EXPECTED}; found pict"),
    ({"photo": PHOTO, "strength": 0.5}, "cut has no strength"),
    ({"photo": PHOTO, "strength": "half"}, "strength has to be a number; found 'half'"),
    ({"photo": PHOTO, "strength": True}, "strength has to be a number"),
    ({"photo": PHOTO, "max_side": np.inf}, "max_side has to be a number; found inf"),
    ({"photo": PHOTO, "max_side": 10**400}, "max_side has to be a number; found 1000"),
    ({"photo": PHOTO, "max_side": "48"}, "max_side has to be a number"),
    ({"photo": PHOTO, "max_side": 0}, "max_side is 0; no side may be below 32 px"),
    ({"photo": PHOTO, "max_side": -5}, "max_side is -5; no side"),
    ({"photo": PHOTO, "direction": "to_photo"}, "cut has no direction to_photo"),
    ({"photo": PHOTO, "colour": 3}, "colour 3 is none of keep"),
    ({"photo": PHOTO, "stroke": "2"}, "stroke has to be a number"),
    ({"photo": PHOTO, "heatmap": 1}, "heatmap has to be true or false; found 1"),
    ({"photo": PHOTO, "heatmap": True}, "cut has no heat map"),
    ({"photo": PHOTO, "style": PHOTO, "weights": [1]}, "weights are for a list of paintings"),
    ({"photo": PHOTO, "style": [PHOTO], "weights": [1, 2]}, "weights has 2 numbers for 1 paint"),
    ({"photo": PHOTO, "style": [PHOTO], "weights": 2}, "weights has to be a list of numbers"),
    ({"photo": PHOTO, "style": [PHOTO], "weights": ["a"]}, "weights has to be a number"),
    ({"photo": PHOTO, "mask": PHOTO}, "cut takes no painting, so that no mask or stroke applies"),
    ({"photo": PHOTO, "style_mask": PHOTO}, "cut takes no painting, so that no mask or stroke"),
    ({3: PHOTO}, f"{EXPECTED}; found 3"),
    (b"no picture", "the picture is not a picture of a known kind"),
    ("no base64!", "has to be base64"),
]
"""Requests, and what is said to them."""


def test_a_wrong_request_is_a_sentence(root: Path) -> None:
    go(root)
    served = load("atelier-cut")
    for asked, message in WRONG:
        with pytest.raises(UserError, match=message):
            served.predict(asked)


def test_kinds_without_training_are_no_models(root: Path) -> None:
    go(root)
    names = {model.name for model in mlflow_client().search_registered_models()}
    assert names == {"atelier-adain", "atelier-cut"}
    assert set(METHODS) > {"gatys"}
