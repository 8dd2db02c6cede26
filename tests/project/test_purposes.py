"""What DVC runs again when a setting of each kind changes, or the code that one method imports.

The stages are not run but for ``settings``: their outputs are stand-ins that `dvc commit` takes for
done, so that `dvc status` names what differs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from atelier.core.baselines import BASELINES
from support import bench, settings_file

ROOT = Path(__file__).parents[2]
METHODS = ("adain", "cyclegan", "gatys")
OUTPUTS = ("stylized/{}/images", "stylized/{}/extras", "models/{}", "snapshots/{}", "denoised/{}")
FILES = ("stylized/{}/record.json", "stylized/{}/curves.csv", "curves/{}.csv", "metrics/{}.json",
         "metrics/denoised/{}.json", "pretrained/{}.json")  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]


def dvc(project: Path, *words: str) -> str:
    env = {**bench.environment(), "PYTHONPATH": str(project / "src"), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        ["dvc", *words], cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Path:
    """A project of three methods in which all is done, as far as DVC knows."""
    folder = tmp_path_factory.mktemp("bench") / "project"
    for name in ("dvc.yaml", "stages", "src", ".dvc/config"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    tree = settings_file.read(ROOT / "params.yaml")
    tree["methods"] = {name: tree["methods"][name] for name in METHODS}
    kept = {*METHODS, "prepare", "evaluate", "denoise", "compare"}
    scale = tree["scales"]["smoke"]
    tree |= {"scale": "smoke", "scales": {"smoke": {k: scale[k] for k in kept & set(scale)}}}
    settings_file.write(folder / "params.yaml", tree)
    results = folder / "results"
    for name in METHODS:
        for out in OUTPUTS:
            put(results / out.format(name) / "a")
        for out in FILES:
            put(results / out.format(name))
    for place in ("prepared/photos/test/a", "reference.safetensors", "baselines/a",
                  "comparison/table.csv", "comparison/table.md",
                  "comparison/sheets/a", "comparison/comparison.json", "comparison/pareto.png",
                  "comparison/grid.png", "status/a", "votes/a", "../data/a",
                  "../zoo/a"):  # fmt: skip
        put(results / place)
    for baseline in BASELINES:
        put(results / f"metrics/{baseline}.json")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "repro", "settings")
    dvc(folder, "commit", "--force", "--quiet")
    assert changed(folder) == set()
    return folder


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def changed(project: Path) -> set[str]:
    """A method's stages that DVC would run, once it has read the settings."""
    dvc(project, "repro", "settings")
    found = json.loads(dvc(project, "status", "--json"))
    return {stage for stage in found if "@" in stage}


def edit(project: Path, name: str, **settings: object) -> None:
    path = project / "params.yaml"
    tree = settings_file.read(path)
    for key, value in settings.items():
        block = tree["methods"][name]
        (block if key in block else tree["scales"]["smoke"][name])[key] = value
    settings_file.write(path, tree)


def test_a_setting_runs_what_it_is_for_and_nothing_else(project: Path) -> None:
    """One of each kind at once, each in another method."""
    before = (project / "params.yaml").read_text()
    edit(project, "gatys", snapshots=2)
    assert changed(project) == set()
    edit(project, "cyclegan", workers=3, snapshots=2, log_every=7)
    edit(project, "adain", strength=0.5, tile=64)
    edit(project, "gatys", content_weight=0.5)
    assert changed(project) == {"stylize@adain", "train@gatys", "stylize@gatys"}
    dry = re.findall(r"Running stage '(.+)'", dvc(project, "repro", "--dry", "evaluate@adain"))
    assert "train@adain" not in dry
    assert "stylize@adain" in dry
    (project / "params.yaml").write_text(before)


def test_code_counts_for_the_methods_that_import_it(project: Path) -> None:
    """A remark counts for nobody. Stages that list all of `nn` are others."""
    edit(project, "adain", lr=0.5)
    for file, text in (("nn/patchgan.py", "MORE = 1"), ("methods/gatys.py", "# a remark")):
        path = project / "src/atelier" / file
        path.write_text(f"{path.read_text()}\n{text}\n")
    found = {stage for stage in changed(project) if stage.startswith(("train@", "stylize@"))}
    assert found == {f"{s}@{m}" for s in ("train", "stylize") for m in ("adain", "cyclegan")}
