"""Seconds of every stage of ``atelier fan-out METHOD``, on this machine and through a Ray cluster.

    python benchmarks/cluster_stages.py OUT

Needs the extra `cluster`. Two clones of this checkout's last commit run one method at scale
``smoke`` on the embedded sample: one with the lanes of this machine, one with ``--ray local``,
whose remote is a folder; the cluster's start and end are part of it, and so is the comparison.
What all methods share has run before. A stage's seconds are those between DVC's lines about its
begin and its end, seen twice a second; steps are the cluster's, each up to the next. CPU seconds
are those of the command and all its descendants. The load stands in each row. Writes
``cluster_stages.json``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from atelier.core.files import write_json

ROOT = Path(__file__).parents[1]
COMMIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qam")
SHARED = ("settings", "reference", "pretrained")
LINE = re.compile(r"Running stage '(.+)@|(?:Updat|Generat)(ing) lock file")
STEP = re.compile(r"^\S+: (pull|train|push|stylize to evaluate|done)\b", re.MULTILINE)
LOOK = 0.5
"""Seconds between two looks at logs and processes."""
Marks = list[tuple[float, str]]


def run(folder: Path, *command: str, **more: Any) -> None:
    subprocess.run(command, cwd=folder, check=True, env=environment(folder), **more)  # noqa: S603


def environment(folder: Path) -> dict[str, str]:
    """Return variables with which the stages run on the code of ``folder``."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PYTHONPATH": str(folder / "src"), "PATH": path, "ATELIER_PROJECT": str(folder)}
    return {**os.environ, **own, "PYTHONUNBUFFERED": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def clone(folder: Path) -> Path:
    """Return a clone at scale smoke in which everything that methods share has run."""
    run(ROOT, "git", "clone", "-q", str(ROOT), str(folder))
    params = folder / "params.yaml"
    params.write_text(
        re.sub(r"^scale: \w+", "scale: smoke", params.read_text(), flags=re.MULTILINE)
    )
    run(folder, *COMMIT, "smoke")
    run(folder, "dvc", "pull", "-q", "data.dvc", "zoo.dvc")
    run(folder, "dvc", "repro", "-q", *SHARED)
    run(folder, "dvc", "remote", "add", "-q", "--local", "-d", "shared", f"{folder}-remote")
    return folder


def look(command: int, seconds: dict[int, float]) -> None:
    """Note the CPU seconds of a command's process and of each of its descendants."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(command)
        for one in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = one.cpu_times()
                seconds[one.pid] = times.user + times.system


def follow(running: subprocess.Popen[bytes], logs: Path, said: Path) -> tuple[Marks, Marks, float]:
    """Wait for a command; return marks of stages and of the cluster's steps, and CPU seconds."""
    stages, steps, seen = Marks(), [(time.monotonic(), "before")], defaultdict[Path, int](int)
    seconds = dict[int, float]()
    while True:
        over, now = running.poll() is not None, time.monotonic()
        for path in logs.glob("*.log"):
            with suppress(FileNotFoundError):
                found = LINE.findall(path.read_text("utf-8", "replace"))
                stages += [(now, begun or "end") for begun, _ in found[seen[path] :]]
                seen[path] = len(found)
        steps += [(now, name) for name in STEP.findall(said.read_text())[len(steps) - 1 :]]
        if over:
            return stages, [*steps, (now, "end")], sum(seconds.values())
        look(running.pid, seconds)
        time.sleep(LOOK)


def between(marks: Marks) -> dict[str, float]:
    """Return the seconds from each mark but an end to the next, added up by name."""
    found = defaultdict[str, float](float)
    for (begun, name), (ended, _) in pairwise(marks):
        if name != "end":
            found[name] += ended - begun
    return {name: round(seconds, 1) for name, seconds in found.items()}


def measure(project: Path, method: str, *more: str) -> Any:
    """Return the row of one run of the command, with further arguments."""
    where, said = Path(".checkpoints/fan-out"), project / "said.txt"
    logs = project / (f".checkpoints/cluster/{method}/{where}" if more else where)
    command = [sys.executable, "-m", "atelier.cli.main", "fan-out", method, *more]
    began, env = time.monotonic(), environment(project)
    with said.open("wb") as out:
        running = subprocess.Popen(  # noqa: S603
            command, cwd=project, env=env, stdout=out, stderr=subprocess.STDOUT
        )
        stages, steps, seconds = follow(running, logs, said)
    if running.returncode:
        raise RuntimeError(said.read_text())
    return {
        "by": " ".join(more) or "lanes",
        "seconds": round(time.monotonic() - began, 1),
        "CPU s": round(seconds, 1),
        "stages": between(stages),
        "steps": between(steps),
        "load": round(os.getloadavg()[0], 1),
    }


def main(out: Path, method: str) -> None:
    rows = []
    with TemporaryDirectory() as folder:
        for name, more in (("lanes", ()), ("ray", ("--ray", "local"))):
            rows.append(measure(clone(Path(folder, name)), method, *more))
            print(rows[-1], flush=True)
    write_json(out / "cluster_stages.json", {"method": method, "rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--method", default="adain")
    main(**vars(parser.parse_args()))
