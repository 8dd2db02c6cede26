"""The zoo in use: one's own training first, any folder, entries made of finished trainings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from atelier.core import records, zoo_files
from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.methods.trained import weights_digest
from atelier.serving import zoo
from atelier.serving.model_card import describe
from atelier.serving.saved_method import here, recipe
from atelier.serving.stylizer import applicable, load_applied
from support.models import METHODS, project, train
from support.pictures import ramp
from support.zoo import entry

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ATELIER_ZOO")
    monkeypatch.setattr(zoo_files, "CHECKOUT", tmp_path / "none")
    monkeypatch.chdir(project(tmp_path / "project"))
    return tmp_path / "project"


def params(root: Path) -> Params:
    return Params.load(root / "params.yaml")


def test_ones_own_training_comes_before_the_zoo(root: Path) -> None:
    entry(root / "zoo", "cut")
    shipped = load_applied(root, params(root), "cut")
    assert shipped.used == (
        "pretrained weights of the zoo (12,000 steps on photographs and Van Gogh)"
    )
    train(root, "cut")
    own = load_applied(root, params(root), "cut")
    assert own.used == "weights of your own training (steps: 1)"
    photo = ramp(48, 48)
    assert own.stylize(photo).tobytes() != shipped.stylize(photo).tobytes()


def test_a_training_that_began_from_the_zoo_says_so(root: Path) -> None:
    path = train(root, "cut") / "card.json"
    card = json.loads(path.read_text())
    begun = {"entry": "cut", "steps": 12000, "data": "photographs and Van Gogh", "sha256": "a"}
    write_json(path, {**card, "pretrained": begun})
    text = "pretrained: 12,000 steps on photographs and Van Gogh, then 1"
    assert recipe(root, params(root), "cut").used == f"weights of your own training ({text})"
    assert text in describe(root, "cut", {}).lower().replace("van gogh", "Van Gogh")


def test_without_a_project_settings_are_the_cards(root: Path, monkeypatch) -> None:
    entry(root / "zoo", "cut", {**METHODS["cut"], "width": 6})
    monkeypatch.setattr(zoo_files, "CHECKOUT", root)
    assert applicable(None, None) == {"cut": ""}
    applied = load_applied(None, None, "cut")
    assert applied.method.settings.width == 6
    assert applied.stylize(ramp(40, 48)).size == (40, 48)
    with pytest.raises(UserError, match="gatys: the zoo holds cut"):
        load_applied(None, None, "gatys")


def test_somebody_elses_params_are_no_project(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "params.yaml").write_text("lr: 0.1")
    monkeypatch.chdir(tmp_path)
    assert here() == (None, None)


def test_a_broken_own_result_is_not_replaced(root: Path) -> None:
    entry(root / "zoo", "cut")
    (train(root, "cut") / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"results/models/cut/model\.safetensors: not a readable"):
        load_applied(root, params(root), "cut")


def test_a_broken_entry_is_not_replaced_either(root: Path, monkeypatch) -> None:
    """Neither by the checkout's entry of that name nor by a network without training."""
    other = entry(root.parent / "none/zoo", "cut", seed=7)
    assert other.is_dir()
    path = entry(root / "zoo", "cut") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    said = f"{path}: is truncated or another file"
    assert applicable(root, params(root))["cut"].startswith(said)
    with pytest.raises(UserError, match="is truncated or another file"):
        load_applied(root, params(root), "cut")


def test_weights_that_were_not_pulled_are_asked_for(root: Path) -> None:
    (root / "zoo.dvc").touch()
    reason = applicable(root, params(root))["cut"]
    assert "run `dvc repro train@cut`, or: `dvc pull zoo.dvc` in" in reason


def test_check_names_what_is_wrong_with_which_entry(root: Path, monkeypatch) -> None:
    for name in ("adain", "cut", "fast_night"):
        entry(root / "zoo", name)
    assert dict(zoo.check(root, apply=True)) == {"adain": "", "cut": "", "fast_night": ""}
    (root / "zoo/cut/model.safetensors").write_bytes(b"x")
    card = root / "zoo/fast_night/card.json"
    known = json.loads(card.read_text())
    write_json(card, {**known, "probe": [value + 0.1 for value in known["probe"]]})
    monkeypatch.setattr(zoo, "ENTRY_BYTES", zoo.size(root / "zoo/adain") - 1)
    monkeypatch.setattr(zoo, "ALL_BYTES", 1000)
    found = dict(zoo.check(root, apply=True))
    assert "are more than" in found["adain"]
    assert "truncated or another file" in found["cut"]
    assert "makes other pictures" in found["fast_night"]
    assert "are more than 0" in found[str(root / "zoo")]


def test_steps_are_counted_from_the_first_weights_on() -> None:
    first = {"steps": 1000, "data": "photographs"}
    assert zoo_files.in_all(first, "steps") == 1000
    second = {"steps": 0, "pretrained": {"steps": 600, "pretrained": first}}
    assert zoo_files.in_all(second, "steps") == 1600


def added(root: Path, name: str = "cut", source: Path | None = None, **given: str) -> zoo.Entry:
    folder = source or root / "results/models" / name
    return zoo.Addition(name, folder, given).add(root, params(root))


@pytest.fixture
def finished(root: Path) -> Path:
    """A training with all it leaves."""
    folder = train(root, "cut")
    card = json.loads((folder / "card.json").read_text())
    write_json(folder / "card.json", {**card, records.WEIGHTS: weights_digest(folder)})
    took, digest = {"steps": 1, "training_seconds": 5400}, weights_digest(folder)
    write_json(folder / "training.json", records.set_aside(root, "cut", "training", took, digest))
    scores = {"method": "cut", "kind": "unpaired", "frechet": 12.5, "content": 0.5}
    more = {"features": "mini", "features_hash": "abcd", "n_generated": 8, "n_reference": 16}
    write_json(
        root / "results/metrics/cut.json",
        {**scores, **more, "run_id": "x", "left_out": {"content": [0.4, 0.6]}},
    )
    made = {"digest": "0123456789abcdef", "settings": {"size": 8, "resize": "crop"}}
    write_json(root / "results/prepared/manifest.json", made)
    return root


def test_an_entry_is_made_of_a_finished_training(finished: Path) -> None:
    card = added(finished, data="eight photographs").card.model_dump()
    assert (card["steps"], card["hours"]) == (1, 1.5)
    assert card["data"] == "eight photographs"
    assert card["scores"]["frechet"] == 12.5
    assert card["scores"]["protocol"]["Features"] == "mini abcd"
    assert not {"run_id", "left_out"} & set(card["scores"])
    assert card["system"].startswith("CUT")
    half = load_file(finished / "zoo/cut/model.safetensors")
    whole = load_file(finished / "results/models/cut/model.safetensors")
    assert {value.dtype for value in half.values()} == {torch.float16}
    assert all(torch.equal(half[key], whole[key].half()) for key in whole)
    assert dict(zoo.check(finished, apply=True)) == {"cut": ""}


@pytest.mark.parametrize("digest_of_its_training", [False, True])
def test_an_entry_made_of_a_finished_training_is_applied(
    finished: Path, digest_of_its_training: bool
) -> None:
    """Rounding changed the weights; cards written before name the digest of both."""
    folder = added(finished, data="some").folder
    card = json.loads((folder / "card.json").read_text())
    assert records.WEIGHTS not in card
    if digest_of_its_training:
        write_json(folder / "card.json", {**card, records.WEIGHTS: "0" * 64})
    shutil.rmtree(finished / "results/models/cut")
    applied = load_applied(finished, params(finished), "cut")
    assert applied.stylize(ramp(40, 48)).size == (40, 48)


def test_an_entry_made_elsewhere_is_taken_with_its_card(root: Path) -> None:
    folder = entry(root.parent / "out", "adain")
    made = added(root, "adain", folder)
    theirs, ours = (one.card.model_dump() for one in (zoo_files.Entry.read(folder), made))
    assert ours.pop("system").startswith("AdaIN")
    assert ours.pop("probe") == pytest.approx(theirs.pop("probe"), abs=1e-3)
    assert ours == theirs, "float16 stays as it is"


@pytest.mark.parametrize("lack", ["data", "scores", "card", "weights"])
def test_an_entry_that_lacks_something_is_not_made(finished: Path, lack: str) -> None:
    before = added(finished, data="some").card
    model = finished / "results/models/cut"
    said = {"data": r"card\.json: data", "card": r"card\.json: is missing"}
    said |= {"weights": r"model\.safetensors: is missing", "scores": r"has no scores"}
    gone = {"card": model / "card.json", "weights": model / "model.safetensors"}
    gone |= {"scores": finished / "results/metrics/cut.json"}
    if lack in gone:
        gone[lack].unlink()
    with pytest.raises(UserError, match=said[lack]):
        added(finished, **({} if lack == "data" else {"data": "some"}))
    assert zoo_files.Entry.read(finished / "zoo/cut").card == before, "the zoo is as it was"
    assert [path.name for path in (finished / "zoo").iterdir()] == ["cut"]


@pytest.mark.parametrize(
    ("limit", "said"), [("ENTRY_BYTES", "more than"), ("ALL_BYTES", "would hold")]
)
def test_an_entry_that_is_too_large_is_not_made(
    finished: Path, monkeypatch: pytest.MonkeyPatch, limit: str, said: str
) -> None:
    entry(finished / "zoo", "adain")
    monkeypatch.setattr(zoo, limit, 5000)
    with pytest.raises(UserError, match=said):
        added(finished, data="some")
    assert zoo_files.names(finished) == ["adain"]


def test_numbers_beyond_float16_are_refused(finished: Path) -> None:
    path = finished / "results/models/cut/model.safetensors"
    found = load_file(path)
    name = next(iter(found))
    save_file({**found, name: torch.full_like(found[name], 1e6)}, path)
    with pytest.raises(UserError, match=f"{name} is not finite in float16"):
        added(finished, data="some")


def test_adding_to_a_zoo_that_was_not_pulled_would_lose_its_entries(finished: Path) -> None:
    (finished / "zoo.dvc").touch()
    with pytest.raises(UserError, match=r"`dvc pull zoo\.dvc` first"):
        added(finished, data="some")


def test_the_shipped_zoo_is_whole_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATELIER_ZOO")
    assert (CHECKOUT / "zoo").is_dir(), "dvc pull zoo.dvc"
    wrong = {name: problem for name, problem in zoo.check(CHECKOUT) if problem}
    assert not wrong
    assert zoo.size(CHECKOUT / "zoo") < zoo.ALL_BYTES
