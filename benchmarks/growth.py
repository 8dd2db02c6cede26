"""Growth of time and memory with the size of a task: a figure and its numbers.

    python benchmarks/growth.py OUT

Every point is a process of its own on one thread: seconds of its processor time and its peak
memory in MiB, imports included in the memory only. Networks have random weights on `mini`, pictures
are synthetic: a point's ratio to the first of its line is what counts. Writes ``growth.json`` and
``growth.png``.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image

from atelier.core import images
from atelier.core.batches import Batch
from atelier.core.files import atomic, read_json, write_json
from atelier.core.precision import lowered
from atelier.datasets.prepare import prepare
from atelier.datasets.prepare_settings import PrepareSettings
from atelier.methods.base import make
from atelier.metrics.evaluator import EvaluateSettings, Evaluator
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import look_at
from atelier.serving.stylizer import TILE, Applied

ADAIN = {"class": "adain", "features": "mini", "layer": "relu3_1", "steps": 1, "init": "he"}
DISTINCT = 50
"""Different pictures among those of a folder; the others are links to them."""
MEBIBYTE = 1024
"""Kibibytes, the unit of ``ru_maxrss`` on Linux."""
Work = Callable[[], object]


def picture(side: int, seed: int = 0) -> Image.Image:
    """Return a picture with detail at every scale."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, max(2, side // 8), max(2, side // 8), generator=draw)
    return images.to_image(coarse).resize((side, side), Image.Resampling.BICUBIC)


def folder(path: Path, count: int, side: int, seed: int = 0) -> list[Path]:
    """Fill a folder with ``count`` pictures, of which ``DISTINCT`` differ; return their files."""
    path.mkdir(parents=True)
    files = [path / f"{n:06d}.png" for n in range(count)]
    for n, file in enumerate(files):
        if n < DISTINCT:
            images.save_png(picture(side, seed + n), file)
        else:
            os.link(files[n % DISTINCT], file)
    return files


def stylising(side: int, _: Path) -> Work:
    """Return the stylisation of a square photograph by AdaIN, in tiles of 1,024 pixels."""
    method = make({**ADAIN, "tile": TILE}, "methods.adain", seed=0, device="cpu")
    photo, style = picture(side), picture(512, 1)
    applied = Applied("adain", method)
    return lambda: applied.stylize(photo, style)


def training(side: int, _: Path) -> Work:
    """Return a training step of AdaIN with one crop, forward and backward."""
    method: Any = make(ADAIN, "methods.adain", seed=0, device="cpu")
    crops = [images.to_tensor(picture(side, seed))[None] for seed in (0, 1)]
    batch = Batch(0, 0, crops[0], crops[1], ())

    def step() -> None:
        with lowered("float32", "cpu"):
            ((_, losses),) = method.training_losses(batch)
        torch.autograd.backward(losses["total"])

    return step


def evaluating(count: int, root: Path) -> Work:
    """Return the scores of 64×64 pictures against 100 paintings, all metrics but LPIPS."""
    made, photos = root / "made", root / "photos"
    folder(made, count, 64)
    folder(photos, count, 64, 100)
    paintings = folder(root / "paintings", 100, 64, 200)
    settings = EvaluateSettings.build(
        {"features": "mini", "fallback_features": None, "perceptual": "mini", "lpips": None},
        "evaluate",
    )
    evaluator = Evaluator.load(settings, "cpu")
    reference = look_at(evaluator, paintings)
    pairs = {f"{n:06d}": f"{n % 100:06d}.png" for n in range(count)}
    found = made_pairs(made, photos, pairs, sorted(reference.styles))
    return lambda: evaluator.score(reference, found)


def preparing(count: int, root: Path) -> Work:
    """Return the preparation of 96×96 training photographs at 64×64 by one process."""
    for split, some in (("photos/train", count), ("photos/test", 10), ("paintings", 10)):
        folder(root / "data" / split, some, 96)
    settings = PrepareSettings(size=64, workers=1)
    return lambda: prepare(root / "data", root / "out", settings, 0)


TASKS: dict[str, tuple[Callable[[int, Path], Work], tuple[int, ...]]] = {
    "stylise, side in px": (stylising, (512, 1024, 2048, 4096)),
    "training step, crop in px": (training, (64, 128, 256, 512)),
    "evaluate, pictures": (evaluating, (100, 500, 1000, 5000)),
    "prepare, photographs": (preparing, (500, 2000, 10_000, 20_000)),
}
"""Task → what prepares it, and its sizes."""


def measure(task: str, size: int) -> dict[str, float]:
    """Return seconds and peak MiB of a task; to be called in a process of its own."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as root:
        work = TASKS[task][0](size, Path(root))
        began = time.process_time() + _children()
        work()
        seconds = time.process_time() + _children() - began
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(one).ru_maxrss for one in who) / MEBIBYTE
    return {"size": size, "seconds": seconds, "peak_mib": peak}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Draw both ratios of every task to its first point, over the ratio of the sizes."""
    figure = Figure((9, 4), layout="constrained")
    for place, (key, title) in enumerate((("seconds", "time"), ("peak_mib", "peak memory"))):
        axes = figure.add_subplot(1, 2, place + 1)
        for task, rows in found.items():
            sizes, values = ([row[k] / rows[0][k] for row in rows] for k in ("size", key))
            axes.plot(sizes, values, marker="o", markersize=4, label=task)
        axes.set(xscale="log", yscale="log", title=title)
        axes.set(xlabel="size, as a multiple of the smallest", ylabel="multiple of the first")
        axes.grid(alpha=0.3)
        if place == 0:
            axes.legend(fontsize=8)
    with atomic(path) as part:
        figure.savefig(part, format="png", dpi=140)


def main(out: Path, only: str | None) -> None:
    path = out / "growth.json"
    found = read_json(path) if path.is_file() else {}
    for task, (_, sizes) in TASKS.items():
        if only and only not in task:
            continue
        found[task] = []
        for size in sizes:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found[task].append(pool.submit(measure, task, size).result())
            print(task, found[task][-1], flush=True)
        write_json(path, found)
    plot(found, out / "growth.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", help="part of a task's name: measure this one anew")
    main(**vars(parser.parse_args()))
