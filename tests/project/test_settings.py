"""What DVC makes of params.yaml: each setting changes where it should, and each stage sees it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from atelier.core.config import Params
from atelier.core.stage_settings import DENOISE
from atelier.core.structure import CLASS
from atelier.core.yaml_tree import read_tree
from atelier.engine import validate
from support.settings import differing

ROOT = Path(__file__).parents[2]
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = Params.load(ROOT / "params.yaml")
SIZE = "scales.demo.prepare.size"


def other(value: Any, number: int = 0) -> Any:
    """Another value that has a place in the file; of each ``number`` its own, but for booleans."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1 + number
    if isinstance(value, list):
        again = [copy.deepcopy(value[0]) for _ in range(number + 1)] if value else [{"steps": 1}]
        return [*value, *again]  # empty: `then`
    return f"{value}{'x' * (number + 1)}"


def override(folder: Path, changes: Mapping[str, Any]) -> Params:
    """The settings after `dvc exp run -S` with all ``changes``."""
    path = shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    texts = [
        f"{k}={yaml.safe_dump(v, default_flow_style=True, width=10_000)}"
        for k, v in changes.items()
    ]
    apply_overrides(path, [text.partition("\n")[0] for text in texts])
    return Params(read_tree(Path(path)))


@cache
def resolved(scale: str) -> dict[str, Any]:
    """What DVC compares, of the file as it is."""
    return validate.resolved(PARAMS.at(scale))


@pytest.mark.slow
@pytest.mark.parametrize("on", ["gatys", "gatys_2"])
def test_a_repetition_is_denoised_by_its_own_name_and_with_the_entry_it_repeats(on: str) -> None:
    tree = copy.deepcopy(read_tree(ROOT / "params.yaml"))
    tree["methods"]["gatys_2"] = {"class": "gatys", "extends": "gatys", "seed": 2}
    tree["denoise"]["on"] = [on]
    tree["scales"]["smoke"].pop("denoise", None)
    found = validate.resolved(Params(tree).at("smoke"))
    assert {name for name in PARAMS.method_names if found[name][DENOISE]} == {"gatys"} & {on}
    assert found["gatys_2"][DENOISE]


@pytest.mark.slow
@pytest.mark.no_cover  # watched, DVC's parser takes twice as long, and nothing else is run here
@pytest.mark.parametrize("name", PARAMS.method_names)
def test_each_setting_of_each_method_changes_alone(tmp_path: Path, name: str) -> None:
    """Those of its own blocks for it and its heirs; those it inherits, once added to its block.

    At all scales at once, to another value at each.
    """
    changes: dict[str, Any] = {}
    wanted: dict[str, dict[str, Any]] = {scale: {} for scale in PARAMS.scales}
    for number, scale in enumerate(PARAMS.scales):
        before, here = PARAMS.at(scale), f"scales.{scale}"
        places = before.places(name)
        for key, value in before.method(name).items():
            if key == CLASS:
                continue
            level = here if places[key].startswith("scales.") else "methods"
            change = f"{'' if places[key] == f'{level}.{name}' else '+'}{level}.{name}.{key}"
            wanted[scale][key] = changes.setdefault(change, other(value, number))
    after = override(tmp_path, changes)
    for scale in PARAMS.scales:
        check_change(PARAMS.at(scale), after.at(scale), name, wanted[scale])


def check_change(before: Params, after: Params, name: str, wanted: Mapping[str, Any]) -> None:
    """Of the entry ``name`` what is ``wanted`` has changed, of the others what they inherit."""
    for method in before.method_names:
        places = after.places(method)
        expected = {key for key in wanted if places.get(key, "").endswith(f".{name}")}
        assert differing(before.method(method), after.method(method)) == expected
        assert method != name or expected == set(wanted)
    assert {key: after.method(name)[key] for key in wanted} == wanted


@pytest.mark.slow
def test_what_is_denoised_changes_for_the_entries_named_alone(tmp_path: Path) -> None:
    before, demo = validate.resolved(PARAMS), "scales.demo.denoise"
    own = PARAMS.block("scales", "demo", "denoise")
    now, every = set(own["on"]), set(PARAMS.method_names)

    def changed(**knobs: Any) -> set[str]:
        made = {f"{'' if key in own else '+'}{demo}.{key}": knobs[key] for key in knobs}
        found = differing(before, validate.resolved(override(tmp_path, made)))
        assert all(path.split(".")[1] == "denoise" for path in found)
        return {path.split(".")[0] for path in found}

    assert changed(on="all") == every - now
    assert changed(on="none") == now
    assert changed(on=["gatys", "nnst"]) == now ^ {"gatys", "nnst"}
    assert changed(pictures=3) == now


@pytest.mark.slow
def test_the_other_scales_are_left_alone(tmp_path: Path) -> None:
    """All change, each to a value that none of the others has."""
    values = {scale: 7001 + number for number, scale in enumerate(PARAMS.scales)}
    after = override(tmp_path, {f"scales.{at}.adain.steps": steps for at, steps in values.items()})
    for scale, steps in values.items():
        before, found = PARAMS.at(scale), validate.resolved(after.at(scale))
        block = f"scales.{scale}.adain"
        heirs = {m for m in before.method_names if before.places(m).get("steps") == block}
        assert "adain" in heirs
        assert differing(resolved(scale), found) == {f"{name}.train.steps" for name in heirs}
        assert {found[name]["train"]["steps"] for name in heirs} == {steps}


def test_a_stage_depends_on_the_settings_of_its_method_and_on_no_others() -> None:
    """DVC compares their values in the file that the stage `settings` writes for it."""
    for stage, parts in (("train", ["train"]), ("stylize", ["train", "apply"])):
        wanted = [f"${{key}}.{part}" for part in (*parts, f"code.{stage}")]
        assert DAG[stage]["do"]["params"] == ["seed", {"results/settings.json": wanted}]
    wanted = [{"results/settings.json": ["${key}.denoise"]}]
    assert DAG["denoise"]["do"]["params"] == ["seed", *wanted]
    assert DAG["settings"]["outs"] == ["results/settings.json"]
    assert "params.yaml" in DAG["settings"]["deps"]


@pytest.mark.slow
def test_a_seed_of_its_own_is_what_its_stages_depend_on_and_nobody_else(tmp_path: Path) -> None:
    added = {f"methods.adain_2.{k}": v for k, v in
             {"class": "adain", "extends": "adain", "seed": 2}.items()}  # fmt: skip
    after = override(tmp_path, {f"+{key}": value for key, value in added.items()})
    for scale in PARAMS.scales:
        before, found = validate.resolved(PARAMS.at(scale)), validate.resolved(after.at(scale))
        again = found.pop("adain_2")
        assert found == before, "nothing changes where there is no seed"
        assert again["train"].pop("seed") == 2
        zoo = {"warm_start": "zoo:adain"} if before["adain"]["train"].get("warm_start") else {}
        assert again == {**before["adain"], "train": {**before["adain"]["train"], **zoo}}


@pytest.mark.slow
def test_workers_do_not_prepare_again_and_everything_else_does(tmp_path: Path) -> None:
    assert DAG["prepare"]["params"] == ["seed", {"results/settings.json": ["prepare"]}]
    values = {"workers": 3, "on_broken": "fail", "max_megapixels": 7}
    changes = {**{f"prepare.{key}": value for key, value in values.items()}, SIZE: 99}
    after = validate.resolved(override(tmp_path, changes).at("demo"))["prepare"]
    differ = differing(resolved("demo")["prepare"], after)
    assert differ == {"on_broken", "max_megapixels", "size"}


def test_no_name_stands_on_a_line_of_the_shell() -> None:
    for block in DAG.values():
        assert "$" not in block.get("do", block)["cmd"]


NOTED = {"train": 1, "apply": 1, "code": {"train": 1, "stylize": 1}}
HOSTILE = "a;touch x;$(touch x)>x"
"""A shell that reads any part of it makes the file."""


@pytest.mark.slow
def test_dvc_never_runs_a_name(tmp_path: Path) -> None:
    for name in ("dvc.yaml", "stages", "src", ".dvc/config"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / name)
    tree = read_tree(ROOT / "params.yaml")
    tree["methods"] = {HOSTILE: {"class": "gatys"}}
    tree["scales"]["demo"][HOSTILE] = {}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    (tmp_path / "results/prepared").mkdir(parents=True)
    (tmp_path / "results/settings.json").write_text(json.dumps({HOSTILE: NOTED}))
    (tmp_path / "results/pretrained").mkdir()
    (tmp_path / "results/pretrained" / f"{HOSTILE}.json").write_text("{}")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "DVC_NO_ANALYTICS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(*words: str) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    run("git", "init", "-q")
    told = run("dvc", "repro", "--keep-going", "--single-item", f"train@{HOSTILE}")
    assert told.count("is not a name of a method") == 1, told
    told = run("dvc", "repro", "settings")
    assert "a name has letters, digits, `_` and `-` only" in told
    assert not list(tmp_path.rglob("x"))
