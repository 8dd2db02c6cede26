"""Pictures per second and memory of ``atelier stylize`` on a Ray cluster, beside one process.

    python benchmarks/cluster.py OUT

Needs the extra `cluster`. Every row is a run of the command on the same small pictures, through a
network of random weights: without Ray, and on a cluster of this machine with 1 and 2 workers. CPU
seconds and peak memory (resident, shared pages counted in each process) are those of the command
(the head), of the workers, and of Ray's own processes with idle ones, sampled twice a second.
Seconds hold for a quiet machine only: the load stands in every row. Also the seconds that Ray needs
before the first picture: starting a cluster, asking a node for its versions, an empty task. Writes
``cluster.json``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import yaml
from PIL import Image

from atelier.cluster.ray_cluster import connected
from atelier.core.checkpoints import save_weights
from atelier.core.files import write_json
from atelier.methods.base import make
from atelier.methods.trained import Trained

SAMPLE = 0.5
"""Seconds between two looks at the processes."""
METHOD = "small"
Row = dict[str, Any]


def project(root: Path, width: int, pictures: int, side: int) -> None:
    """Write a project with one system of random weights, and pictures of noise."""
    block = {"class": "cut", "width": width, "blocks": 2, "steps": 1}
    tree = {"scale": "demo", "seed": 0, "device": "auto", "methods": {METHOD: block}}
    text = yaml.safe_dump({**tree, "scales": {"demo": {METHOD: None}}}, sort_keys=False)
    (root / "params.yaml").write_text(text, encoding="utf-8")
    method, folder = make(block, METHOD, seed=0, device="cpu"), root / "results/models" / METHOD
    if not isinstance(method, Trained):
        raise TypeError(METHOD)
    save_weights(method.inference_networks.state_dict(), folder / "model.safetensors")
    write_json(folder / "card.json", {"method": METHOD, **method.card(), "parameters": block})
    draw = np.random.default_rng(0)
    (root / "in").mkdir()
    for number in range(pictures):
        pixels = draw.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "in" / f"{number:06d}.png")


def role(process: psutil.Process, command: int) -> str:
    """Return whose memory it is: of the head, a worker, or Ray itself."""
    if process.pid == command:
        return "head"
    words = process.cmdline()
    return "workers" if words and words[0].startswith("ray::MapWorker") else "ray"


def watch(running: subprocess.Popen[str]) -> Row:
    """Wait for a command; return CPU seconds and peak MiB by role."""
    peak, seconds = defaultdict[str, float](float), dict[tuple[str, int], float]()
    top = psutil.Process(running.pid)
    while running.poll() is None:
        now = defaultdict[str, float](float)
        with suppress(psutil.NoSuchProcess):
            for process in (top, *top.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    whose, times = role(process, top.pid), process.cpu_times()
                    now[whose] += process.memory_info().rss / 2**20
                    seconds[whose, process.pid] = times.user + times.system
        for whose, mebibytes in now.items():
            peak[whose] = max(peak[whose], mebibytes)
        time.sleep(SAMPLE)
    row: Row = {f"{whose}, peak MiB": round(mebibytes) for whose, mebibytes in peak.items()}
    for whose in peak:
        total = sum(spent for (other, _), spent in seconds.items() if other == whose)
        row[f"{whose}, CPU s"] = round(total, 1)
    return row


def stylize(root: Path, workers: int, pictures: int) -> Row:
    """Stylise all with a number of workers, 0: without Ray; return the row."""
    out = f"out-{workers}"
    command = [sys.executable, "-m", "atelier.cli.main", "stylize", "in", "-m", METHOD, "-o", out]
    if workers:
        command += ["--ray", "local", "--workers", str(workers)]
    start, log = time.monotonic(), root / f"{out}.log"
    with log.open("w", encoding="utf-8") as file:
        running = subprocess.Popen(command, cwd=root, stdout=file, stderr=file, text=True)  # noqa: S603
        found = watch(running)
    spent = time.monotonic() - start
    made = len(list((root / out).glob("*.png")))
    if made != pictures:
        raise RuntimeError(f"{made} of {pictures} made:\n{log.read_text(encoding='utf-8')[-2000:]}")
    rate = round(pictures / spent, 1)
    row = {"workers": workers or "no Ray", "pictures": pictures, "seconds": round(spent, 1)}
    return {**row, "pictures/s": rate, **found, "load": round(os.getloadavg()[0], 1)}


def overhead() -> Row:
    """Return the seconds of what Ray needs before and beside the work."""
    marks = [time.monotonic()]
    with connected("local"):
        import ray  # noqa: PLC0415 - an extra

        from atelier.cluster.ray_tasks import refuse_other_versions  # noqa: PLC0415

        marks.append(time.monotonic())
        refuse_other_versions()
        marks.append(time.monotonic())
        task = ray.remote(lambda: None)
        ray.get(task.remote())
        marks.append(time.monotonic())
        ray.get(task.remote())
        marks.append(time.monotonic())
    marks.append(time.monotonic())
    names = ("start a cluster", "ask for versions", "first task", "next task", "end it")
    spent = {name: round(b - a, 3) for name, a, b in zip(names, marks, marks[1:], strict=False)}
    return {**spent, "load": round(os.getloadavg()[0], 1)}


def main(out: Path, pictures: int, side: int, width: int, workers: list[int]) -> None:
    setting = {"pictures": pictures, "side": side, "width": width, "cores": os.cpu_count()}
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        project(Path(folder), width, pictures, side)
        for count in workers:
            rows.append(stylize(Path(folder), count, pictures))
            print(rows[-1], flush=True)
            write_json(out / "cluster.json", {"setting": setting, "rows": rows})
    fixed = overhead()
    print(fixed)
    write_json(out / "cluster.json", {"setting": setting, "rows": rows, "seconds": fixed})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    for option, value in {"pictures": 10_000, "side": 64, "width": 4}.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="0: without Ray")
    main(**vars(parser.parse_args()))
