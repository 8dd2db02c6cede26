"""Seconds of every stage of ``atelier fan-out METHOD``, on this machine and through a Ray cluster.

    python benchmarks/cluster_stages.py OUT

Needs the extra `cluster`. Two clones of this checkout's last commit run one method at scale
``smoke`` on the embedded sample: one with the lanes of this machine, one through a cluster of one
node here, whose remote is a folder. What all methods share has run before. A stage's seconds are
those between DVC's lines about its begin and its end; the steps between them are the cluster's. CPU
seconds are those of all processes of either run, Ray's own included. The load stands in each row.
Writes ``cluster_stages.json``.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
LOOK = 0.1
"""Seconds between two looks at the logs."""
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


@contextmanager
def cluster(project: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield address and process of a cluster of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["ray", "start", "--head", "--block", f"--port={port}", "--include-dashboard=false"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    more = ["--node-ip-address=127.0.0.1", "--ray-client-server-port=0"]
    running = subprocess.Popen([*command, *more], cwd=project, env=environment(project), **quiet)  # type: ignore[call-overload]  # noqa: S603
    try:
        while running.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(LOOK)
        time.sleep(5)  # its node registers
        yield f"127.0.0.1:{port}", psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait()


def spent(process: psutil.Process) -> float:
    """Return CPU seconds of a process, its descendants and those that they have waited for."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:4])
    return total


def follow(running: subprocess.Popen[bytes], logs: Path, said: Path) -> tuple[Marks, Marks]:
    """Wait for a command; return when stages began and ended, and when the cluster's steps did."""
    stages, steps, seen = Marks(), [(time.monotonic(), "before")], defaultdict[Path, int](int)
    while True:
        over, now = running.poll() is not None, time.monotonic()
        for path in logs.glob("*.log"):
            with suppress(FileNotFoundError):
                found = LINE.findall(path.read_text("utf-8", "replace"))
                stages += [(now, begun or "end") for begun, _ in found[seen[path] :]]
                seen[path] = len(found)
        steps += [(now, name) for name in STEP.findall(said.read_text())[len(steps) - 1 :]]
        if over:
            return stages, [*steps, (now, "end")]
        time.sleep(LOOK)


def between(marks: Marks) -> dict[str, float]:
    """Return the seconds from each mark but an end to the next, added up by name."""
    found = defaultdict[str, float](float)
    for (begun, name), (ended, _) in pairwise(marks):
        if name != "end":
            found[name] += ended - begun
    return {name: round(seconds, 1) for name, seconds in found.items()}


def measure(project: Path, method: str, address: str, process: psutil.Process | None) -> Any:
    """Return the row of one run, through a cluster if ``address`` is one."""
    command = [sys.executable, "-m", "atelier.cli.main", "fan-out", method]
    where, said = Path(".checkpoints/fan-out"), project / "said.txt"
    logs = project / (f".checkpoints/cluster/{method}/{where}" if address else where)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    others = spent(process) if process else 0
    (project / where / "shared.log").unlink(missing_ok=True)
    with said.open("wb") as out:
        ray = ["--ray", address] if address else []
        env, both = environment(project), {"stdout": out, "stderr": subprocess.STDOUT}
        running = subprocess.Popen([*command, *ray], cwd=project, env=env, **both)  # type: ignore[call-overload]  # noqa: S603
        stages, steps = follow(running, logs, said)
    if running.returncode:
        raise RuntimeError(said.read_text())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "by": "Ray" if address else "lanes",
        "seconds": round(time.monotonic() - began, 1),
        "CPU s": round(own + (spent(process) - others if process else 0), 1),
        "stages": between(stages),
        "steps": between(steps),
        "load": round(os.getloadavg()[0], 1),
    }


def main(out: Path, method: str) -> None:
    rows = []
    with TemporaryDirectory() as folder:
        here, there = (clone(Path(folder, name)) for name in ("lanes", "ray"))
        rows.append(measure(here, method, "", None))
        print(rows[-1], flush=True)
        with cluster(there) as (address, process):
            rows.append(measure(there, method, address, process))
        print(rows[-1], flush=True)
    write_json(out / "cluster_stages.json", {"method": method, "rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--method", default="adain")
    main(**vars(parser.parse_args()))
