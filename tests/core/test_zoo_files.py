"""Where the zoo is looked for, what a card has to say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atelier.core import zoo_files
from atelier.core.config import UserError
from atelier.core.zoo_files import Entry, history, sha256, warm_entry

CARD: dict[str, Any] = {
    "method": "cut", "kind": "unpaired", "parameters": {"class": "cut"}, "steps": 12000,
    "hours": 1.0, "device": "cpu", "data": "photographs and Van Gogh", "scores": {},
    "commit": "abc", "licence": "MIT", "probe": [0.5],
}  # fmt: skip


def put(zoo: Path, name: str = "cut", text: str = "weights", **card: Any) -> Path:
    folder = zoo / name
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)
    known = {**CARD, "sha256": sha256(folder / "model.safetensors"), **card}
    (folder / "card.json").write_text(json.dumps(known))
    return folder


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A project and a checkout of the package."""
    monkeypatch.delenv("ATELIER_ZOO")
    project, checkout = tmp_path / "project", tmp_path / "checkout"
    for folder in (project, checkout):
        folder.mkdir()
    monkeypatch.setattr(zoo_files, "CHECKOUT", checkout)
    return project, checkout


def test_the_projects_zoo_comes_first_then_the_checkouts(homes: tuple[Path, Path]) -> None:
    project, checkout = homes
    put(checkout / "zoo", "cut")
    put(checkout / "zoo", "adain")
    put(project / "zoo", "cut", text="others")
    found = {name: zoo_files.find(name, project) for name in zoo_files.names(project)}
    assert {name: entry.folder.parents[1] for name, entry in found.items() if entry} == {
        "adain": checkout, "cut": project
    }  # fmt: skip
    outside = zoo_files.find("cut", None)
    assert outside is not None
    assert outside.folder.parents[1] == checkout, "outside a project the checkout's"
    assert zoo_files.find("ugatit", project) is None


def test_a_folder_that_is_named_is_the_only_one(homes, tmp_path: Path, monkeypatch) -> None:
    put(homes[0] / "zoo", "cut")
    put(tmp_path / "mine", "adain")
    monkeypatch.setenv("ATELIER_ZOO", str(tmp_path / "mine"))
    assert zoo_files.names(homes[0]) == ["adain"]
    monkeypatch.setenv("ATELIER_ZOO", str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"ATELIER_ZOO names .*gone, which is not a folder"):
        zoo_files.names(homes[0])


def test_a_zoo_that_was_not_pulled_says_how(homes: tuple[Path, Path]) -> None:
    project, checkout = homes
    assert zoo_files.how_to_get(project) == ""
    (checkout / "zoo.dvc").touch()
    assert f"`dvc pull zoo.dvc` in {checkout}" in zoo_files.how_to_get(project)
    (checkout / "zoo").mkdir()
    assert zoo_files.how_to_get(project) == ""


@pytest.mark.parametrize("how", ["truncated", "other", "gone"])
def test_weights_that_are_not_the_cards_are_refused_by_name(tmp_path: Path, how: str) -> None:
    folder = put(tmp_path / "zoo")
    path, entry = folder / "model.safetensors", Entry.read(folder)
    assert entry.weights() == path
    if how == "gone":
        path.unlink()
    else:
        path.write_text("weigh" if how == "truncated" else "WEIGHTS")
    (tmp_path / "zoo.dvc").touch()
    with pytest.raises(UserError, match=r"zoo/cut/model\.safetensors: is .*dvc pull --force zoo"):
        entry.weights()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": -1}, "steps: "),
        ({"data": ""}, "data: "),
        ({"sha256": "abc"}, "sha256: "),
        ({"parameters": None}, "parameters: "),
        ({"pretrained": {"entry": "cut", "steps": "x", "data": "d"}}, "pretrained.steps: "),
        (
            {"pretrained": {"entry": "cut", "steps": 1, "data": "d", "pretrained": {}}},
            "pretrained.pretrained.entry: ",
        ),
    ],
)
def test_a_card_that_lacks_a_fact_is_named(tmp_path: Path, wrong: dict[str, Any], said: str):
    put(tmp_path, **wrong)
    with pytest.raises(UserError, match=rf"cut/card\.json: {said}"):
        zoo_files.Entry.read(tmp_path / "cut")


def test_a_truncated_card_says_what_brings_it(tmp_path: Path) -> None:
    folder = put(tmp_path / "zoo")
    (tmp_path / "zoo.dvc").touch()
    for broken in (b'{"meth', b"\xff\xfe"):
        (folder / "card.json").write_bytes(broken)
        with pytest.raises(
            UserError, match=r"card\.json: the file: Invalid JSON.*dvc pull --force"
        ):
            Entry.read(folder)


def test_a_name_cannot_lead_out_of_the_zoo(homes: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="is not a plain file name"):
        zoo_files.find("../cut", homes[0])


@pytest.mark.parametrize(
    ("start", "entry"),
    [(None, None), ("zoo", "cut"), ("zoo:adain", "adain"), ("weights/zoo.safetensors", None)],
)
def test_a_warm_start_names_an_entry_or_a_path(start: str | None, entry: str | None) -> None:
    assert warm_entry({"warm_start": start}, "cut") == entry


def test_a_warm_start_of_no_name_is_refused() -> None:
    with pytest.raises(UserError, match="say zoo:NAME"):
        warm_entry({"warm_start": "zoo"})


def test_a_training_begins_from_the_projects_zoo_alone(homes: tuple[Path, Path]) -> None:
    project, checkout = homes
    folder = put(checkout / "zoo")
    with pytest.raises(UserError, match=r"warm_start: .*project/zoo/cut is missing; null"):
        zoo_files.warm_facts({"warm_start": "zoo"}, "cut", project)
    (project / "zoo.dvc").touch()
    with pytest.raises(UserError, match=r"`dvc pull zoo\.dvc` brings the zoo"):
        zoo_files.warm_facts({"warm_start": "zoo"}, "cut", project)
    folder.parent.rename(project / "zoo")
    found = zoo_files.warm_facts({"warm_start": "zoo"}, "cut", project)
    assert {k: found[k] for k in ("entry", "steps", "data")} == {
        "entry": "cut", "steps": 12000, "data": "photographs and Van Gogh"
    }  # fmt: skip
    assert zoo_files.warm_facts({"warm_start": None}, "cut", project) == {}
    (project / "zoo/cut/model.safetensors").write_text("broken")
    with pytest.raises(UserError, match="truncated or another file"):
        zoo_files.warm_facts({"warm_start": "zoo"}, "cut", project)


def test_a_history_says_what_was_before_and_what_came_then() -> None:
    begun = {"steps": 12000, "data": "photographs and Van Gogh"}
    card = {"pretrained": begun, "parameters": {"steps": 20}}
    assert history(card) == "12,000 steps on photographs and Van Gogh, then 20"
    assert history({"parameters": {"steps": 20}}) == ""
    parts = ("photographs and Van Gogh", "12,000 steps, then 20")
    assert zoo_files.split_history(history(card)) == parts
    assert zoo_files.split_history(zoo_files.trained_on(begun)) == (parts[0], "12,000 steps")


def test_an_entry_that_began_from_another_tells_both(tmp_path: Path) -> None:
    first = Entry.read(put(tmp_path / "zoo"))
    second = Entry.read(put(tmp_path / "zoo", "adain", steps=300, pretrained=first.facts))
    assert zoo_files.trained_on(second.facts) == "12,300 steps on photographs and Van Gogh"
    assert zoo_files.in_all(second.facts, "hours") == first.card.hours + second.card.hours
    begun = "12,000 steps on photographs and Van Gogh, then 300 steps on the sample"
    facts = {**second.facts, "data": "the sample"}
    assert zoo_files.trained_on(facts) == begun
    assert history({"pretrained": facts, "parameters": {"steps": 20}}) == f"{begun}, then 20"
    assert "pretrained" not in first.facts
