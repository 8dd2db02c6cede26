"""A project with tiny pictures and short trainings, in which DVC and MLflow really run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from support import settings_file

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
programs = BIN
"""Folder of `python`, `dvc` and `atelier`; in some files those of ``warm.interpreters``."""


def run(project: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in the project."""
    env = environment()
    done = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def environment(*, cold: bool = False) -> dict[str, str]:
    """That of a command; ``cold``: its interpreters begin with nothing imported."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "ATELIER_"))
    }
    folders = [*([] if cold else [str(programs)]), str(BIN), os.environ["PATH"]]
    return {**kept, "PATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}


def edit(project: Path, *keys: str, value: object) -> None:
    path = project / "params.yaml"
    tree = settings_file.read(path)
    block = tree
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    settings_file.write(path, tree)


def fake_picture(seed: int) -> Image.Image:
    """Smooth colour with some detail: enough for features to differ."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (5, 5, 3), dtype=np.uint8))
    return small.resize((60, 52), Image.Resampling.BICUBIC)


def keep(project: Path, names: list[str]) -> None:
    """Drop the other methods: each one costs three stages of several seconds."""
    path = project / "params.yaml"
    tree = settings_file.read(path)
    tree["methods"] = {name: tree["methods"][name] for name in names}
    for blocks in tree["scales"].values():
        for name in set(blocks) - {*names, "prepare", "evaluate", "denoise"}:
            del blocks[name]
        blocks["denoise"].pop("on", None)
    settings_file.write(path, tree)


def small_project(folder: Path, methods: list[str]) -> Path:
    """A copy of this repository with other data and a few methods; committed, nothing run."""
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    for name in tracked:
        if not name.startswith(
            (".sample", "data.dvc", "zoo.dvc", "dvc.lock", "tests", "docs", "results/comparison")
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for split, count in (("photos/train", 4), ("photos/test", 4), ("paintings", 5)):
        (folder / "data" / split).mkdir(parents=True)
        for n in range(count):
            fake_picture(hash_of(split, n)).save(folder / "data" / split / f"{n}.png")
    edit(folder, "scale", value="smoke")
    edit(folder, "scales", "smoke", "prepare", "size", value=40)
    edit(folder, "scales", "smoke", "prepare", "test_photos", value=4)
    keep(folder, methods)
    edit(folder, "scales", "smoke", "denoise", "steps", value=4)
    for method, steps in (("gatys", 2), ("gatys_lbfgs", 2), ("adain", 30)):
        if method in methods:
            edit(folder, "scales", "smoke", method, "steps", value=steps)
    edit(folder, "scales", "smoke", "adain", "crop", value=32)
    edit(folder, "scales", "smoke", "adain", "save_minutes", value=0)
    edit(folder, "scales", "smoke", "adain", "warm_start", value=None)
    (folder / "zoo").mkdir()
    (folder / "zoo/README.md").write_text("nothing yet")
    for command in ("git init -q", "dvc add -q data zoo", "git add -A"):
        run(folder, *command.split())
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start")
    return folder


def hash_of(split: str, n: int) -> int:
    return len(split) * 100 + n


def kill(process: subprocess.Popen[bytes]) -> None:
    """As the power fails: DVC, the stage and its workers at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 120
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
