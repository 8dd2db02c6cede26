"""Several methods side by side, one per GPU or per share of the cores.

Each method is a ``dvc repro`` of its own stages, in a process of its own: DVC allows that, and one
that fails leaves the others alone. What all of them need runs before, the comparison after.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from atelier.config import UserError
from atelier.files import read_json
from atelier.parallel import cores

SHARED = ("reference", "do_nothing")
STAGES = ("train", "stylize", "evaluate")
LOGS = Path(".checkpoints/fan-out")
BUSY = ("Unable to acquire lock", "is busy")
"""What DVC says while another ``dvc`` writes and it cannot wait, before it has begun anything."""
PATIENCE = 40
"""How often a busy DVC is asked again, after a second each."""
CPU_LANES = 4

Lane = Mapping[str, str]
"""Environment that gives a method its device."""


def lanes(count: int | None = None, devices: int = 1) -> list[Lane]:
    """One per GPU, or per ``devices`` GPUs; without any, equal shares of the cores.

    Raises:
        UserError: more lanes are asked for than there are GPUs or cores.
    """
    gpus = _gpus()
    groups = [",".join(gpus[n : n + devices]) for n in range(0, len(gpus) - devices + 1, devices)]
    most = len(groups) or cores()
    count = count or len(groups) or min(CPU_LANES, cores())
    if count > most:
        raise UserError(f"{count} methods at once: there are only {most} devices or cores")
    if groups:
        return [{"CUDA_VISIBLE_DEVICES": group} for group in groups[:count]]
    return [{"OMP_NUM_THREADS": str(max(1, cores() // count))} for _ in range(count)]


def _gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(n) for n in range(count)]


class FanOut:
    """Methods waiting for a lane; iterate over ``run`` for a line about each as it ends."""

    def __init__(self, names: Sequence[str], places: Sequence[Lane], root: Path) -> None:
        self.waiting, self.places, self.root = deque(dict.fromkeys(names)), places, root
        self.failed: list[str] = []
        self.told: deque[str] = deque()
        self.changed = threading.Condition()

    def run(self) -> Iterator[str]:
        """Run what all need, then every method.

        Raises:
            UserError: what all need has failed.
            KeyboardInterrupt: Ctrl-C; no method is begun any more, those running have saved.
        """
        if _dvc(["repro", *SHARED], self.root, {}, LOGS / "shared.log"):
            raise UserError(f"preparing the pictures failed; see {LOGS / 'shared.log'}")
        self._leave_out_the_finished()
        with ThreadPoolExecutor(len(self.places)) as pool:
            work = [pool.submit(self._work, lane) for lane in self.places]
            try:
                while self.told or not all(one.done() for one in work):
                    with self.changed:
                        self.changed.wait(0.2)
                    while self.told:
                        yield self.told.popleft()
            except BaseException:
                self.waiting.clear()
                raise
        yield from self.told  # what came in between the last look and the end
        for one in work:
            one.result()

    def _leave_out_the_finished(self) -> None:
        """One question for all of them: asking DVC method by method takes seconds each."""
        if _dvc(["status", "--json"], self.root, {}, LOGS / "status.log"):
            return  # then they find out themselves
        stale = {name.partition("@")[2] for name in read_json(self.root / LOGS / "status.log")}
        self.told.extend(f"{name}: is done already" for name in self.waiting if name not in stale)
        self.waiting = deque(name for name in self.waiting if name in stale)

    def _work(self, lane: Lane) -> None:
        """Take methods until none waits."""
        while True:
            try:
                name = self.waiting.popleft()
            except IndexError:
                return
            began = time.monotonic()
            log = LOGS / f"{name}.log"
            targets = [f"{stage}@{name}" for stage in STAGES]
            code = _dvc(["repro", "--single-item", *targets], self.root, lane, log)
            if code:
                self.failed.append(name)
            ended = f"failed, see {log}" if code else "done"
            self._tell(f"{name}: {ended} ({time.monotonic() - began:.0f} s)")

    def _tell(self, line: str) -> None:
        with self.changed:
            self.told.append(line)
            self.changed.notify()


def _dvc(arguments: Sequence[str], root: Path, lane: Lane, log: Path) -> int:
    """Exit code of ``dvc``, whose output goes to ``log``; asked again while another one writes."""
    (root / log).parent.mkdir(parents=True, exist_ok=True)
    for _ in range(PATIENCE):
        errors = subprocess.STDOUT if arguments[0] == "repro" else subprocess.DEVNULL
        with (root / log).open("w", encoding="utf-8") as out:
            command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
            done = subprocess.run(  # noqa: S603 - DVC, with names of params.yaml
                command,
                cwd=root,
                env={**os.environ, **lane},
                stdout=out,
                stderr=errors,
                check=False,
            )
        if not done.returncode or not any(word in (root / log).read_text() for word in BUSY):
            break
        time.sleep(1)
    return done.returncode
