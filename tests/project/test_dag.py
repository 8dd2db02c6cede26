"""A stage that lists too little code shows stale results; one that lists too much trains for days
because a docstring changed. So the lists are compared with what the scripts really import."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from atelier.methods.base import method_class
from atelier.metrics.catalogue import FILES

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "atelier"
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
# They watch, say or record; no result depends on them.
OBSERVERS = ("tracking", "serving.registry")
# Listed as a whole, although no stage needs every file: each line of dvc.lock costs DVC time at the
# end of every stage. What a change there re-runs is told in docs/log.md.
WHOLE = ("core", "engine", "nn", "reports")


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("atelier.") for name in found if name.startswith("atelier.")}


def source(module: str) -> Path | None:
    file = SOURCE / Path(*module.split(".")).with_suffix(".py")
    package = SOURCE / Path(*module.split(".")) / "__init__.py"
    return file if file.is_file() else package if package.is_file() else None


def closure(*starts: Path) -> set[Path]:
    todo, seen = list(starts), set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        modules = {name for name in imported(path) if not name.startswith(OBSERVERS)}
        todo += [found for module in modules if (found := source(module))]
    return {path for path in seen if not is_empty(path)}


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
            [
                d.replace("${key}", key).replace("${item.class}", item["class"])
                for d in block["do"]["deps"]
            ],
        )
        for key, item in PARAMS["methods"].items()
    ]


STAGES = [case for stage in DAG for case in expand(stage)]


@pytest.mark.parametrize(("name", "deps"), STAGES, ids=[name for name, _ in STAGES])
def test_code_dependencies_are_the_import_closure(name: str, deps: list[str]) -> None:
    stage, _, method = name.partition("@")
    starts = [ROOT / "stages" / f"{stage}.py"]
    if method and stage in {"train", "stylize"}:  # found by name at run time, not by an import
        starts.append(SOURCE / "methods" / f"{PARAMS['methods'][method]['class']}.py")
    if stage in {"reference", "evaluate"}:  # the same
        starts += [SOURCE / "metrics" / f"{name}.py" for name in FILES]
    if stage == "settings":  # it looks at the settings of all of them
        starts += (SOURCE / "methods").glob("*.py")
    listed, needed = {path for dep in deps for path in files(ROOT / dep)}, closure(*starts)
    # A method's stages list the bases of other systems, too: DVC cannot give every method a list of
    # its own.
    blocks = {file for folder in WHOLE for file in (SOURCE / folder).rglob("*.py")}
    if stage == "settings":  # runs for seconds, and what depends on it asks for its values only
        blocks |= set((SOURCE / "metrics").glob("*.py"))
    if stage in {"train", "stylize"}:
        blocks |= {SOURCE / "methods" / f"{base}.py" for base in ("unpaired", "optimisation")}
    if stage == "evaluate":  # lists the folder of metrics, where the baselines of `reference` are
        blocks.add(SOURCE / "metrics/baselines.py")
    assert needed <= listed
    assert listed - needed <= blocks


def files(path: Path) -> set[Path]:
    if path.suffix == ".py":
        return {path}
    return {p for p in path.rglob("*.py") if not is_empty(p)} if SOURCE in path.parents else set()


def all_blocks() -> list[tuple[str, dict[str, Any]]]:
    """(stage, its keys); of a foreach, what it repeats."""
    return [(stage, block.get("do", block)) for stage, block in DAG.items()]


def outputs(block: dict[str, Any]) -> list[str]:
    """Paths that a stage makes."""
    named = [out for kind in ("outs", "plots", "metrics") for out in block.get(kind, [])]
    return [path for out in named for path in ([out] if isinstance(out, str) else out)]


def test_every_dependency_is_a_file_or_made_by_a_stage() -> None:
    made = [out for _, block in all_blocks() for out in outputs(block)]
    # what DVC brings (data.dvc, zoo.dvc), and what whatever fails writes
    made += [path.stem for path in ROOT.glob("*.dvc")] + ["results/status"]
    systems = sorted({block["class"] for block in PARAMS["methods"].values()})
    for stage, block in all_blocks():
        for dep in block["deps"]:
            paths = [dep.replace("${item.class}", system) for system in systems]
            there = all((ROOT / path).exists() for path in paths) and not dep.startswith("results")
            assert (
                there
                or any(f"{out}/".startswith(f"{dep}/") or dep in out for out in made)
                or (any(f"{dep}/".startswith(f"{out}/") for out in made))
            ), f"{stage}: {dep}"


def test_every_command_runs_a_script_that_is_a_dependency() -> None:
    for stage, block in all_blocks():
        python, script, *_ = block["cmd"].split()
        assert python == "python"
        assert script == f"stages/{stage}.py"
        assert script in block["deps"]
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
    models = yaml.safe_load((ROOT / "models/dvc.yaml").read_text())["artifacts"]
    kinds = {name: method_class(b["class"]).kind for name, b in PARAMS["methods"].items()}
    trained = {name for name, kind in kinds.items() if kind != "optimisation"}
    assert set(models) == trained
    assert {m["path"] for m in models.values()} == {f"../results/models/{n}" for n in trained}


def test_closure_sees_an_import_inside_a_function(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("def f():\n    from atelier.metrics import frechet\n")
    assert SOURCE / "metrics" / "frechet.py" in closure(script)


@pytest.mark.parametrize("top", ["stages", "dashboard", "src"])
def test_only_tracking_imports_mlflow_and_only_the_dashboard_streamlit(top: str) -> None:
    for path in (ROOT / top).rglob("*.py"):
        text = path.read_text()
        if path.name != "client.py":
            assert "import mlflow" not in text, path
        if top != "dashboard":
            assert "import streamlit" not in text, path
