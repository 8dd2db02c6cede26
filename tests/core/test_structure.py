"""The structure of params.yaml: names, levels, what extends what; told without torch."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from atelier.core.config import Params, UserError
from atelier.core.structure import method_files, structure_problems
from support.settings import tree

METHODS = {"gatys": {"class": "gatys", "lr": 0.2}, "adain": {"class": "adain"}}


def problems(*changes: tuple[str, Any]) -> list[str]:
    """Mistakes of right settings after ``changes``: (path with slashes, value)."""
    settings = copy.deepcopy(tree(METHODS))
    for path, value in changes:
        *blocks, last = path.split("/")
        place = settings
        for key in blocks:
            place[key] = {} if place.get(key) is None else place[key]
            place = place[key]
        place[last] = value
    return [line.removeprefix("params.yaml: ") for line in structure_problems(settings)]


def test_right_settings_have_no_mistakes() -> None:
    assert problems() == []
    assert problems(("device", "cuda:1"), ("devices", 2), ("denoise", {"steps": 3})) == []
    assert problems(("seed", 2**63 - 1)) == []
    assert problems(("devices", 16), ("nodes", 2)) == []


def test_devices_are_divided_equally_among_nodes() -> None:
    (said,) = problems(("devices", 3), ("nodes", 2))
    assert said == "nodes: 3 devices cannot be divided among 2 nodes"
    (said,) = problems(("nodes", 4))
    assert said == "nodes: 1 devices cannot be divided among 4 nodes"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("device", 0, "device: has to be text (found 0)"),
        ("device", None, "device: has to be text (found null)"),
        ("device", "gpu", "device: has to be auto, cpu, cuda, cuda:N (a GPU's number) or mps"),
        ("device", "cuda:", "device: has to be auto, cpu, cuda, cuda:N"),
        ("devices", 0, "devices: has to be greater than or equal to 1 (found 0)"),
        ("nodes", 0, "nodes: has to be greater than or equal to 1 (found 0)"),
        ("cluster_workers", -1, "cluster_workers: has to be greater than or equal to 0 (found -1)"),
        ("devices", 65, "devices: has to be at most 64 (found 65)"),
        ("devices", 1.5, "devices: has to be a whole number (found 1.5)"),
        ("seed", "abc", "seed: has to be a whole number (found 'abc')"),
        ("seed", None, "seed: has to be a whole number (found null)"),
        ("seed", 1.5, "seed: has to be a whole number (found 1.5)"),
        ("seed", True, "seed: has to be a whole number (found true)"),
        ("seed", -1, "seed: has to be greater than or equal to 0 (found -1)"),
        ("seed", 2**63, "seed: has to be at most"),
        ("scale", ["demo"], "scale: has to be text (found ['demo'])"),
        ("scale", "Demo", "scale: 'Demo' is not one of demo"),
        ("methds", {}, "methds: no such setting; did you mean `methods`?"),
        ("prepare", [1], "prepare: has to be a block of settings (found [1])"),
        ("prepare/size", float("inf"), "prepare.size: has to be a finite number (found inf)"),
        ("prepare/size", {"a": 1}, "prepare.size: has to be a value or a list of values"),
        ("prepare/resize", "x" * 2000, "prepare.resize: has 2000 letters"),
        ("methods", None, "methods: has to name at least one block (found null)"),
        ("methods", [], "methods: has to name at least one block (found [])"),
        ("methods/gatys", None, "methods.gatys: has to be a block of settings (found null)"),
        ("methods/gatys/class", None, "methods.gatys.class: is missing"),
        ("methods/gatys/class", "base", "methods.gatys.class: 'base' is not a file in atelier/m"),
        ("methods/gatys/class", "../x", "methods.gatys.class: '../x' is not a file in"),
        ("methods/gatys/class", ["gatys"], "methods.gatys.class: ['gatys'] is not a file in"),
        ("methods/gatys/class", "gattys", "methods.gatys.class: 'gattys' is not a file in"),
        ("methods/gatys/lr", float("nan"), "methods.gatys.lr: has to be a finite number (found na"),
        ("scales", {}, "scales: has to name at least one block (found {})"),
        ("scales/demo", 3, "scales.demo: has to be a block of blocks (found 3)"),
        ("scales/demo/gattys", {}, "scales.demo.gattys: no such step or method; did you mean `ga"),
        ("scales/demo/gatys", [], "scales.demo.gatys: has to be a block of settings (found [])"),
        ("scales/demo/gatys/class", "fast", "scales.demo.gatys.class: stands in `methods` only"),
        ("scales/demo/gatys/lr", 0.2, "methods.gatys.lr: stands in scales.demo.gatys too; keep o"),
        ("scales/big", {}, "scales.big: lacks a block for gatys"),
        ("methods/gatys/extends", 3, "methods.gatys.extends: has to be the name of another block"),
        ("methods/gatys/extends", "adian", "methods.gatys.extends: methods has no block 'adian'"),
        ("methods/gatys/extends", "gatys", "methods.gatys.extends: gatys → gatys: a block extends"),
        ("methods/gatys/seed", -1, "methods.gatys.seed: has to be greater than or equal to 0 (fou"),
        ("methods/gatys/seed", [1, 2], "methods.gatys.seed: has to be a whole number (found [1, 2"),
        ("scales/demo/gatys/seed", 1, "scales.demo.gatys.seed: stands in `methods` only"),
        ("scales/demo/gatys/extends", "x", "scales.demo.gatys.extends: scales.demo has no block "),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path(path: str, value: object, message: str) -> None:
    assert any(line.startswith(message) for line in problems((path, value))), problems(
        (path, value)
    )


@pytest.mark.parametrize(
    "name", ["a;touch x", "$(touch x)", "a>x", "a b", "a'b", "../a", "", "a\n", "é", "a" * 65, "."]
)
def test_names_are_plain_words(name: str) -> None:
    """They become names of files and stages."""
    found = problems((f"methods/{name}".replace("../", "..\\"), {"class": "gatys"}))
    assert any("a name has letters, digits, `_` and `-` only" in line for line in found)
    found = problems((f"scales/{name}".replace("../", "..\\"), {}))
    assert any("a name has letters, digits, `_` and `-` only" in line for line in found)


def test_names_of_steps_are_taken() -> None:
    found = problems(("methods/prepare", {"class": "gatys"}))
    assert "methods.prepare: is the name of a step; choose another" in found


def test_all_mistakes_at_all_scales_are_told_at_once(tmp_path: Path) -> None:
    settings = {**tree(METHODS), "seed": None, "devise": "cpu"}
    settings["scales"]["full"] = {"gatys": {"lr": 1.0}, "adain": {}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(UserError) as got:
        Params.load(tmp_path / "params.yaml")
    assert str(got.value).splitlines() == [
        "params.yaml: devise: no such setting; did you mean `device`?",
        "params.yaml: seed: has to be a whole number (found null)",
        "params.yaml: methods.gatys.lr: stands in scales.full.gatys too; keep one",
    ]


def test_the_classes_are_the_files_that_hold_a_method() -> None:
    assert {"gatys", "adain", "cut"} <= set(method_files())
    assert not {"base", "trained", "unpaired", "optimisation", "__init__"} & set(method_files())


def test_a_block_lays_its_settings_over_those_it_extends() -> None:
    methods = {
        "first": {"class": "adain", "flip": True, "tile": 64},
        "second": {"class": "adain", "extends": "first", "tile": 128},
        "third": {"class": "adain", "extends": "second"},
    }
    settings = tree(methods)
    settings["scales"]["demo"] = {
        "first": {"steps": 1, "crop": 64},
        "second": {"steps": 2},
        "third": {"extends": "first", "crop": 96},
    }
    assert structure_problems(settings) == []
    params = Params(settings)
    own = {"class": "adain", "flip": True}
    assert params.method("first") == {**own, "tile": 64, "steps": 1, "crop": 64}
    assert params.method("second") == {**own, "tile": 128, "steps": 2}
    assert params.method("third") == {**own, "tile": 128, "steps": 1, "crop": 96}
    assert params.places("third") == {
        "class": "methods.third", "flip": "methods.first", "tile": "methods.second",
        "steps": "scales.demo.first", "crop": "scales.demo.third",
    }  # fmt: skip


def test_the_key_of_a_method_changes_with_what_it_extends() -> None:
    methods = {"one": {"class": "adain", "tile": 64}, "two": {"class": "adain", "extends": "one"}}
    before = Params(tree(methods)).key("two")
    methods["one"]["tile"] = 128
    assert Params(tree(methods)).key("two") != before


def test_reading_and_checking_imports_no_torch() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom atelier.core.config import Params\n"
        f"Params.load(Path({str(Path(__file__).parents[2] / 'params.yaml')!r}))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def repeating(**more: Any) -> dict[str, Any]:
    """Settings in which ``again`` is ``adain`` with another seed, and has no block in the scale."""
    settings = tree({"adain": {"class": "adain", "strength": 0.5}, "gatys": {"class": "gatys"}})
    settings["methods"]["again"] = {"class": "adain", "extends": "adain", "seed": 2, **more}
    settings["scales"]["demo"]["adain"] = {"steps": 7, "warm_start": "zoo"}
    return settings


def test_an_entry_that_differs_by_its_seed_needs_no_block_in_the_scales() -> None:
    settings = repeating()
    settings["methods"]["third"] = {"class": "adain", "extends": "again", "seed": 3}
    assert structure_problems(settings) == []
    params = Params(settings)
    assert [params.repeated(n) for n in ("again", "third", "gatys")] == ["adain", "adain", "gatys"]
    assert [params.seed_of(n) for n in ("adain", "again", "third")] == [1, 2, 3]
    own = params.method("adain")
    # the zoo's entry is the original's
    expected = {**own, "seed": 2, "warm_start": "zoo:adain"}
    assert params.method("again") == expected
    assert params.method("adain") == own, "and it stays as it is"
    assert "seed" not in own


@pytest.mark.parametrize("more", [{"strength": 1.0}, {"extends": "again"}, {"extends": "none"}])
def test_an_entry_that_differs_in_more_needs_its_blocks(more: dict[str, Any]) -> None:
    lines = structure_problems(repeating(**more))
    assert "params.yaml: scales.demo: lacks a block for again" in lines


def test_with_a_block_of_its_own_it_is_no_repetition() -> None:
    settings = repeating()
    settings["scales"]["demo"]["again"] = {"extends": "adain", "steps": 8}
    assert structure_problems(settings) == []
    assert Params(settings).repeated("again") == "again"
    assert Params(settings).method("again")["seed"] == 2
