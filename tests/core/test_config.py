"""params.yaml: what is read, what is refused and how that is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import Field, ValidationError

from atelier.core.config import Params, Settings, UserError, main_root, project_root

TREE: dict[str, Any] = {
    "scale": "demo",
    "seed": 7,
    "prepare": {"resize": "crop"},
    "methods": {"gatys": {"class": "gatys", "lr": 0.2}, "other": {"class": "gatys"}},
    "scales": {
        "demo": {"prepare": {"size": 32}, "gatys": {"steps": 3}, "other": None},
        "full": {"prepare": {"size": 256}, "gatys": {"steps": 500}, "other": {"steps": 1}},
    },
}


class Example(Settings):
    size: int = Field(ge=1)
    name: str = "x"
    share: float = 0.5
    on: bool = False
    loss: Literal["gram", "mean_std"] = "gram"
    layers: tuple[str, ...] = Field((), max_length=3)
    which: str | int = "x"
    crop: int | None = None


def changed(*path: str, value: Any) -> Params:
    tree = copy.deepcopy(TREE)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return Params(tree)


def test_settings_are_typed_and_frozen() -> None:
    example = Example.build({"size": 3, "layers": ["a"], "share": 1}, "prepare")
    assert (example.size, example.name, example.layers) == (3, "x", ("a",))
    assert isinstance(example.share, float)
    with pytest.raises(ValidationError, match="frozen"):
        example.size = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"size": 0}, "size: has to be greater than or equal to 1 (found 0)"),
        ({"size": "big"}, "size: has to be a whole number (found 'big')"),
        ({"size": True}, "size: has to be a whole number (found true)"),
        ({"size": 3.0}, "size: has to be a whole number (found 3.0)"),
        ({"size": None}, "size: has to be a whole number (found null)"),
        ({"size": 10**12}, "size: has to be at most 1e+07 (found 1000000000000)"),
        ({"size": 10**5000}, "size: has to be at most 1e+07 (found a int)"),
        ({}, "size: is missing"),
        ({"size": 1, "sise": 2}, "sise: no such setting; did you mean `size`?"),
        ({"size": 1, "name": 3}, "name: has to be text (found 3)"),
        ({"size": 1, "share": True}, "share: has to be a number (found true)"),
        ({"size": 1, "share": "1e-3"}, "share: has to be a number (found '1e-3')"),
        ({"size": 1, "share": float("nan")}, "share: has to be a finite number (found nan)"),
        ({"size": 1, "share": -1e300}, "share: has to be at most 1e+10 (found -1e+300)"),
        ({"size": 1, "on": 1}, "on: has to be true or false (found 1)"),
        (
            {"size": 1, "loss": "meanstd"},
            "loss: has to be 'gram' or 'mean_std'; did you mean `mean_std`? (found 'meanstd')",
        ),
        ({"size": 1, "layers": "a"}, "layers: has to be a list (found 'a')"),
        ({"size": 1, "layers": ["a", 2]}, "layers.1: has to be text (found 2)"),
        ({"size": 1, "which": True}, "which: has to be text or a whole number (found true)"),
        ({"size": 1, "crop": 8193}, "crop: has to be at most 8192 (found 8193)"),
    ],
)
def test_wrong_settings_name_what_was_found(block: Any, message: str) -> None:
    with pytest.raises(UserError) as got:
        Example.build(block, "prepare")
    assert str(got.value) == f"params.yaml: prepare.{message}"


def test_every_wrong_setting_has_its_line_and_its_own_block() -> None:
    places = {"size": "scales.demo.prepare"}
    assert Example.problems({"size": 0, "nome": "x"}, "prepare", places) == [
        "params.yaml: scales.demo.prepare.size: has to be greater than or equal to 1 (found 0)",
        "params.yaml: prepare.nome: no such setting; did you mean `name`?",
    ]
    assert Example.problems({"size": 1}, "prepare") == []


def test_the_scale_in_force_adds_to_a_block() -> None:
    params = Params(TREE)
    assert params.scaled("prepare") == {"size": 32, "resize": "crop"}
    assert params.settings("prepare") == params.scaled("prepare")
    assert params.places("prepare") == {"resize": "prepare", "size": "scales.demo.prepare"}
    assert params.method("gatys") == {"class": "gatys", "lr": 0.2, "steps": 3}
    assert params.method("other") == {"class": "gatys"}
    full = params.at("full")
    assert (params.scale, full.scale, full.scales) == ("demo", "full", ["demo", "full"])
    with pytest.raises(UserError, match=r"scale: 'fill' is not one of demo, full"):
        params.at("fill")
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
        (changed("scale", value="tiny"), r"scale: 'tiny' is not one of demo, full"),
        (Params({}), r"scale: is missing"),
        (changed("scales", value={"demo": {}}), r"scales\.demo\.gatys: is missing"),
    ],
)
def test_what_is_missing_is_named(params: Params, message: str) -> None:
    with pytest.raises(UserError, match=rf"^params\.yaml: {message}$"):
        Params.method(params, "gatys") if "methods" in params._tree else params.scaled("prepare")


def test_unknown_methods_list_the_known() -> None:
    with pytest.raises(UserError, match=r"no method 'gattys'; did you mean `gatys`"):
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
        ("", r"params\.yaml: expected a mapping of settings, found nothing"),
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
    settings = {**TREE, "seed": 3}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    assert project_root() == main_root() == tmp_path
    assert Params.load().seed == 3
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    assert main_root() == Path("/elsewhere")
    assert project_root() == tmp_path


def test_what_may_be_left_out_has_its_default() -> None:
    assert (Params(TREE).device, Params(TREE).devices) == ("auto", 1)
    assert (Params({"device": "mps"}).device, Params({"devices": 2}).devices) == ("mps", 2)
    assert (Params(TREE).nodes, Params({"nodes": 2}).nodes) == (1, 2)
    asked = Params({"cluster_workers": 2})
    assert (Params(TREE).cluster_workers, asked.cluster_workers) == (0, 2)
    assert (Params(TREE).tf32, Params(TREE).cudnn_benchmark) == (True, False)
