"""Parallel runs of several methods, one per GPU or per share of the cores.

Each method is a ``dvc repro`` of its own stages in a separate process: DVC allows that, and a
failure does not affect the others. Shared stages run before, the comparison after.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from atelier.cluster.dvc import LOGS, Dvc, alone, prepare, stale_methods, targets
from atelier.core.config import Params, UserError
from atelier.datasets.parallel import cores
from atelier.methods.base import system_of

CPU_LANES = 4
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Waiting threads sleep: spinning, they occupy cores that other lanes need, and two trainings on a
shared machine ran 30 to 40 times slower."""

Lane = Mapping[str, str]
"""Environment variables that assign a device to a method."""


def lanes(count: int | None = None, devices: int = 1) -> list[Lane]:
    """Return a lane per GPU, or per ``devices`` GPUs; without GPUs, equal shares of the cores.

    Raises:
        UserError: more lanes than GPUs or cores.
    """
    gpus = _gpus()
    groups = [",".join(gpus[n : n + devices]) for n in range(0, len(gpus) - devices + 1, devices)]
    most = len(groups) or cores()
    count = count or len(groups) or min(CPU_LANES, cores())
    if count > most:
        raise UserError(f"{count} methods at once: there are only {most} devices or cores")
    if groups:
        return [{"CUDA_VISIBLE_DEVICES": group} for group in groups[:count]]
    return [{"OMP_NUM_THREADS": str(max(1, cores() // count)), **PATIENT}] * count


def _gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(n) for n in range(count)]


def dearest_first(params: Params, names: Sequence[str]) -> list[str]:
    """Return ``names`` with trainings first, then what optimises every picture.

    What takes long, begun last, would keep one lane busy while the others wait.
    """
    return sorted(names, key=lambda name: _rank(params.method(name), name))


def _rank(block: Mapping[str, Any], name: str) -> int:
    if system_of(block, f"methods.{name}").kind == "optimisation":
        return 1
    return 0 if block.get("steps") or block.get("epochs") else 2


class FanOut:
    """Methods and the lanes they share; ``run`` yields a line about each as it ends."""

    def __init__(self, names: Sequence[str], places: Sequence[Lane], root: Path) -> None:
        self.names, self.dvc = list(dict.fromkeys(names)), Dvc(root)
        self.free: SimpleQueue[Lane] = SimpleQueue()
        self.count = len(places)
        for lane in places:
            self.free.put(lane)
        self.failed: list[str] = []

    def run(self) -> Iterator[str]:
        """Run the shared stages, then every method.

        Of several runs at once each waits for the other's shared stages and for a method it works
        on, and then finds it up to date.

        Raises:
            UserError: a shared stage failed.
            KeyboardInterrupt: Ctrl-C; no further method starts, running ones have saved.
        """
        with alone("shared", self.dvc):
            prepare(self.dvc)
            stale = stale_methods(self.dvc, self.names)
        yield from (f"{name}: is up to date" for name in self.names if name not in stale)
        with ThreadPoolExecutor(self.count) as pool:
            work = [pool.submit(self._work, name) for name in self.names if name in stale]
            try:
                for one in as_completed(work):
                    yield one.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.dvc.children.stop()
                raise

    def _work(self, name: str) -> str:
        """Run a method on a free lane; return a line about how it ended."""
        lane, began, log = self.free.get(), time.monotonic(), LOGS / f"{name}.log"
        with alone(name, self.dvc):
            code = self.dvc.run(["repro", "--single-item", *targets(name)], log, lane)
        self.free.put(lane)
        if code:
            self.failed.append(name)
        why = "is in use by another DVC" if code and self.dvc.busy(log) else "failed"
        ended = f"{why}, see {log}" if code else "done"
        return f"{name}: {ended} ({time.monotonic() - began:.0f} s)"
