"""params.yaml: what is read, what is refused and how that is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from atelier.core.config import Params, Settings, UserError, main_root, project_root

TREE: dict[str, Any] = {
    "scale": "demo",
    "seed": 7,
    "prepare": {"size": 64, "resize": "crop"},
    "methods": {"gatys": {"class": "gatys", "lr": 0.2, "steps": 5}, "other": {"class": "gatys"}},
    "scales": {
        "demo": {"prepare": {"size": 32}, "gatys": {"steps": 3}, "other": None},
        "full": {"prepare": {"size": 256}, "gatys": {"steps": 500}, "other": {"steps": 1}},
    },
}


class Knobs(Settings):
    size: int = Field(ge=1)
    name: str = "x"


def changed(*path: str, value: Any) -> Params:
    tree = copy.deepcopy(TREE)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return Params(tree)


def test_settings_are_typed_and_frozen() -> None:
    knobs = Knobs.build({"size": 3}, "prepare")
    assert (knobs.size, knobs.name) == (3, "x")
    with pytest.raises(ValidationError, match="frozen"):
        knobs.size = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"size": 0}, r"^params\.yaml: prepare\.size: .*greater than or equal to 1 \(found 0\)$"),
        ({"size": "big"}, r"^params\.yaml: prepare\.size: .*integer.* \(found 'big'\)$"),
        ({}, r"^params\.yaml: prepare\.size: Field required$"),
        ({"size": 1, "sise": 2}, r"^params\.yaml: prepare\.sise: no such setting; is the name mis"),
    ],
)
def test_wrong_settings_name_the_knob_and_what_was_found(block: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Knobs.build(block, "prepare")


def test_every_wrong_setting_has_its_line() -> None:
    with pytest.raises(UserError) as got:
        Knobs.build({"size": 0, "nome": "x"}, "prepare")
    assert len(str(got.value).splitlines()) == 2


def test_the_scale_in_force_adds_to_a_block() -> None:
    params = Params(TREE)
    assert params.scaled("prepare") == {"size": 32, "resize": "crop"}
    assert params.method("gatys") == {"class": "gatys", "lr": 0.2, "steps": 3}
    assert params.method("other") == {"class": "gatys"}
    full = changed("scale", value="full")
    assert full.scaled("prepare") == {"size": 256, "resize": "crop"}
    assert full.method("other") == {"class": "gatys", "steps": 1}
    assert params.method_names == ["gatys", "other"]
    assert params.seed == 7


def test_a_reader_cannot_change_what_the_next_one_reads() -> None:
    params = Params(copy.deepcopy(TREE))
    params.method("gatys")["lr"] = 9
    params.scaled("prepare")["size"] = 9
    assert params.method("gatys")["lr"] == 0.2
    assert params.scaled("prepare")["size"] == 32


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (changed("scale", value="tiny"), r"scale: 'tiny' is none of demo, full"),
        (Params({}), r"scale: is missing"),
        (changed("scales", value={"demo": {}}), r"scales\.demo\.gatys: is missing"),
    ],
)
def test_what_is_missing_is_named(params: Params, message: str) -> None:
    with pytest.raises(UserError, match=rf"^params\.yaml: {message}$"):
        Params.method(params, "gatys") if "methods" in params._tree else params.scaled("prepare")


def test_unknown_methods_list_the_known() -> None:
    with pytest.raises(UserError, match=r"no method 'gattys'; params\.yaml has gatys, other"):
        Params(TREE).method("gattys")


def test_the_key_changes_with_what_decides_and_with_nothing_else() -> None:
    key = Params(TREE).key("gatys")
    decide = [
        changed("methods", "gatys", "lr", value=1.0),
        changed("scales", "demo", "gatys", "steps", value=4),
        changed("scales", "demo", "prepare", "size", value=33),
        changed("prepare", "resize", value="fit"),
        changed("seed", value=8),
        changed("scale", value="full"),
    ]
    assert key not in {params.key("gatys") for params in decide}
    others = [
        changed("methods", "other", "lr", value=1.0),
        changed("scales", "full", "gatys", "steps", value=4),
        changed("device", value="cuda"),
    ]
    assert {params.key("gatys") for params in others} == {key}
    assert Params({}).key("gatys"), "a record of failure needs one even then"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1,\nb: 2", r"params\.yaml: cannot be read: .*line 2, column"),
        ("- a\n- b\n", r"params\.yaml: expected a mapping of settings, found list"),
        ("", r"params\.yaml: expected a mapping of settings, found NoneType"),
    ],
)
def test_a_broken_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"(?s){message}"):
        Params.load(tmp_path / "params.yaml")


def test_the_root_is_the_nearest_folder_with_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    with pytest.raises(UserError, match=r"no params\.yaml in .*b or above it; run this inside the"):
        project_root()
    (tmp_path / "params.yaml").write_text("seed: 3\n")
    assert project_root() == main_root() == tmp_path
    assert Params.load().seed == 3
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    assert main_root() == Path("/elsewhere")
    assert project_root() == tmp_path


@pytest.mark.parametrize("value", [0, "two", None, 1.5])
def test_devices_are_a_whole_number(value: object) -> None:
    assert Params({"devices": 2}).devices == 2
    with pytest.raises(UserError, match=r"devices: .* is no whole number from 1 up"):
        _ = Params({"devices": value}).devices
