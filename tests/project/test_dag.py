"""A stage that lists too little code shows stale results; one that lists too much trains for days
because a docstring changed. So the lists are compared with what the scripts really import."""

import ast
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from atelier.core.fingerprint import OBSERVERS, closure
from atelier.core.paths import VOTES, Results
from atelier.core.stage_settings import STAGES as CODED
from atelier.core.stage_settings import codes
from atelier.methods.base import method_class
from atelier.methods.trained import Trained
from atelier.metrics.catalogue import FILES
from tools import artifacts

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "atelier"
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
# Listed as a whole, although no stage needs every file: each line of dvc.lock costs DVC time at the
# end of every stage. What a change there re-runs is told in docs/log.md.
WHOLE = ("core", "engine", "nn", "reports")


def needed_by(*starts: Path) -> set[Path]:
    return {path for path in closure(*starts) if not is_empty(path)}


def is_empty(path: Path) -> bool:
    """A package file that holds a docstring alone decides nothing."""
    return path.name == "__init__.py" and len(ast.parse(path.read_text()).body) <= 1


def expand(stage: str) -> list[tuple[str, list[str]]]:
    """(name, dependencies) of a stage, once per method where it has a foreach."""
    block = DAG[stage]
    if "foreach" not in block:
        return [(stage, block["deps"])]
    return [
        (
            f"{stage}@{key}",
            [d.replace("${key}", key) for d in block["do"]["deps"]],
        )
        for key in PARAMS["methods"]
    ]


STAGES = [case for stage in DAG for case in expand(stage)]


LISTING = [case for case in STAGES if case[0].partition("@")[0] not in CODED]


@pytest.mark.parametrize(("name", "deps"), LISTING, ids=[name for name, _ in LISTING])
def test_code_dependencies_are_the_import_closure(name: str, deps: list[str]) -> None:
    stage = name.partition("@")[0]
    starts = [ROOT / "stages" / f"{stage}.py"]
    if stage in {
        "reference",
        "evaluate",
        "evaluate_denoised",
    }:  # found by name at run time, not by an import
        starts += [SOURCE / "metrics" / f"{name}.py" for name in FILES]
    if stage == "settings":  # it looks at the settings and at the code of all methods
        starts += (SOURCE / "methods").glob("*.py")
        starts += [ROOT / "stages" / f"{coded}.py" for coded in CODED]
    listed, needed = {path for dep in deps for path in files(ROOT / dep)}, needed_by(*starts)
    blocks = {file for folder in WHOLE for file in (SOURCE / folder).rglob("*.py")}
    if stage == "settings":  # runs for seconds, and what depends on it asks for its values only
        blocks |= {*(SOURCE / "metrics").glob("*.py"), *(ROOT / "stages").glob("*.py")}
    if stage.startswith(
        "evaluate"
    ):  # lists the folder of metrics, where the baselines of `reference` are
        blocks.add(SOURCE / "metrics/baselines.py")
    assert needed <= listed
    assert listed - needed <= blocks


def test_a_methods_stages_depend_on_the_digest_of_their_code() -> None:
    """No list could tell what each method imports; ``core.fingerprint`` finds it."""
    for stage in CODED:
        block = DAG[stage]["do"]
        assert [dep for dep in block["deps"] if not dep.startswith("results")] == []
        assert f"${{key}}.code.{stage}" in block["params"][1]["results/settings.json"]
    assert all(set(codes(system, ROOT)) == set(CODED) for system in ("adain", "gatys"))


def files(path: Path) -> set[Path]:
    if path.suffix == ".py":
        return {path}
    of_code = SOURCE in path.parents or path == ROOT / "stages"
    return {p for p in path.rglob("*.py") if not is_empty(p)} if of_code else set()


def all_blocks() -> list[tuple[str, dict[str, Any]]]:
    """(stage, its keys); of a foreach, what it repeats."""
    return [(stage, block.get("do", block)) for stage, block in DAG.items()]


def outputs(block: dict[str, Any]) -> list[str]:
    """Paths that a stage makes."""
    named = [out for kind in ("outs", "plots", "metrics") for out in block.get(kind, [])]
    return [path for out in named for path in ([out] if isinstance(out, str) else out)]


def test_every_dependency_is_a_file_or_made_by_a_stage() -> None:
    made = [out for _, block in all_blocks() for out in outputs(block)]
    # what DVC brings (data.dvc, zoo.dvc), what whatever fails writes, and what voters do
    made += [path.stem for path in ROOT.glob("*.dvc")] + ["results/status", "results/votes"]
    for stage, block in all_blocks():
        for dep in block["deps"]:
            there = (ROOT / dep).exists() and not dep.startswith("results")
            assert (
                there
                or any(f"{out}/".startswith(f"{dep}/") or dep in out for out in made)
                or (any(f"{dep}/".startswith(f"{out}/") for out in made))
            ), f"{stage}: {dep}"


def test_votes_are_a_dependency_of_the_comparison_and_no_business_of_gits() -> None:
    """Without votes, a folder that git keeps; with votes, files that it ignores."""
    folder = Results().votes.parent
    assert folder.as_posix() in DAG["compare"]["deps"]
    assert (ROOT / folder / ".gitkeep").is_file()
    files = [VOTES, f"{VOTES}-journal", f"{VOTES}.lock", Results().votes.as_posix()]
    command = ["git", "check-ignore", "--no-index", *files, f"{folder.as_posix()}/.gitkeep"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == files


def test_every_command_runs_a_script_that_is_a_dependency() -> None:
    for stage, block in all_blocks():
        python, script, *_ = block["cmd"].split()
        assert python == "python"
        assert script == f"stages/{stage}.py"
        assert script in block["deps"] or stage in CODED or "stages" in block["deps"]
        assert (ROOT / script).is_file()


@pytest.mark.parametrize("module", [*OBSERVERS, *WHOLE])
def test_modules_named_here_exist(module: str) -> None:
    path = SOURCE / Path(*module.split("."))
    assert path.is_dir() or path.with_suffix(".py").is_file()


def test_dag_is_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 100


def test_every_method_has_a_block_in_every_scale() -> None:
    for scale, blocks in PARAMS["scales"].items():
        missing = set(PARAMS["methods"]) - set(blocks)
        assert not missing, f"scales.{scale} lacks {missing}"


def test_every_trained_method_is_one_of_dvcs_models() -> None:
    text = (ROOT / "models/dvc.yaml").read_text()
    assert text == artifacts.main(), "run `make tree`"
    models, methods = yaml.safe_load(text)["artifacts"], PARAMS["methods"]
    classes = {name: method_class(block["class"]) for name, block in methods.items()}
    trained = {name for name, found in classes.items() if issubclass(found, Trained)}
    assert set(models) == trained
    assert {m["path"] for m in models.values()} == {f"../results/models/{n}" for n in trained}


@pytest.mark.parametrize("top", ["stages", "dashboard", "src"])
def test_only_tracking_imports_mlflow_and_only_the_dashboard_streamlit(top: str) -> None:
    for path in (ROOT / top).rglob("*.py"):
        text = path.read_text()
        if path.name != "client.py":
            assert "import mlflow" not in text, path
        if top != "dashboard":
            assert "import streamlit" not in text, path
