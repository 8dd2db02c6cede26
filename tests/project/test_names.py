"""What names code by text: a move would break it in silence, did not a test look it up."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from atelier.cluster import dvc
from atelier.core import fingerprint, workers
from atelier.core.config import Params

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAMING = ("dvc.yaml", "CONTRIBUTING.md", "Makefile", "pyproject.toml", ".ci/run")
PATHS = r"(?<![\w/.-])((?:src|tests|stages|dashboard|tools|benchmarks|docs)/[\w/.-]+\.\w+)"


@pytest.mark.parametrize("command", PYPROJECT["project"]["scripts"])
def test_a_console_script_can_be_called(command: str) -> None:
    where = PYPROJECT["project"]["scripts"][command]
    assert callable(EntryPoint(command, where, "console_scripts").load())


@pytest.mark.parametrize("name", NAMING)
def test_files_named_in_text_exist(name: str) -> None:
    named = re.findall(PATHS, _text(name))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_dashboard_has_all_its_pages() -> None:
    pages = re.findall(r"st\.Page\(\"views/(\w+\.py)\"", _text("dashboard/app.py"))
    assert sorted(pages) == sorted(path.name for path in (ROOT / "dashboard/views").glob("*.py"))


def test_the_stages_that_methods_run_side_by_side_are_the_dags() -> None:
    dag = yaml.safe_load(_text("dvc.yaml"))["stages"]
    repeated = [stage for stage, block in dag.items() if "foreach" in block]
    assert sorted(dvc.STAGES) == sorted(repeated)
    assert {target.split("@")[0] for target in dvc.SHARED} <= set(dag)


def test_modules_named_in_texts_exist() -> None:
    """A cluster's workers, and the wrapper of the Makefile's last commands."""
    (wrapper,) = re.findall(r"^LAST +:= python -m ([\w.]+)$", _text("Makefile"), re.MULTILINE)
    for module in (workers.CONNECTION, wrapper):
        assert find_spec(module)


def test_what_the_dashboard_imports_ahead_exists() -> None:
    """It is imported in a thread whose errors are dropped."""
    (module,) = re.findall(r"target=_import, args=\(\"([\w.]+)\",", _text("dashboard/app.py"))
    assert find_spec(module)


def test_every_methods_key_has_the_digest_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is not found counts as empty, so that a wrong name would go unseen."""
    read, params = fingerprint._source, Params.load(ROOT / "params.yaml")
    sources: list[bytes] = []
    monkeypatch.setattr(fingerprint, "_source", lambda name: sources.append(read(name)) or b"")
    for name in params.method_names:
        params.key(name)
    files = [
        ROOT / f"src/atelier/methods/{params.method(n)['class']}.py" for n in params.method_names
    ]
    assert sources == [file.read_bytes() for file in files]


def test_tool_settings_name_folders_that_exist() -> None:
    tool = PYPROJECT["tool"]
    folders = [
        *tool["ruff"]["src"],
        *tool["mypy"]["files"],
        *tool["pytest"]["ini_options"]["pythonpath"],
    ]
    folders += [
        *tool["pytest"]["ini_options"]["testpaths"],
        tool["mypy"]["mypy_path"].split(":")[1],
    ]
    assert [name for name in folders if not (ROOT / name).is_dir()] == []
    assert all(find_spec(package) for package in tool["coverage"]["run"]["source"])


def test_pre_commit_and_ci_call_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))
    hooks = yaml.safe_load(_text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    called = {hook["entry"].removeprefix("make ") for hook in hooks}
    called |= set(re.findall(r"^clean make ([a-z-]+)", _text(".ci/run"), re.MULTILINE))
    assert {"check", "demo", "docs", "test", "test-cluster"} <= called <= targets
    assert _text(".ci/run").endswith("clean make test\n"), "its summary ends the log"


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
