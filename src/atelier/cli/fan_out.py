"""Parallel runs of several methods, one per GPU or per share of the cores.

Each method is a ``dvc repro`` of its own stages in a separate process: DVC allows that, and a
failure does not affect the others. Shared stages run before, the comparison after.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from filelock import FileLock, Timeout

from atelier.core.config import UserError
from atelier.core.files import read_json
from atelier.datasets.parallel import cores

SHARED = ("settings", "reference", "pretrained")
STAGES = ("train", "stylize", "evaluate", "denoise", "evaluate_denoised")
LOGS = Path(".checkpoints/fan-out")
STATUS = LOGS / "status.log"
BUSY = ("Unable to acquire lock", "is busy")
"""Messages with which DVC gives up, before any work, while another ``dvc`` writes."""
PATIENCE = 40
"""Number of retries while DVC is busy, one second apart."""
CPU_LANES = 4
ENDING = (sys.executable, "-m", "atelier.core.process")
"""Prefix that ends a command with this process, even on SIGKILL."""
INTERRUPTED = 130
SAVING = 60.0
"""Seconds in which a training may finish its step and save, before the next signal."""

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


class FanOut:
    """Methods and the lanes they share; ``run`` yields a line about each as it ends."""

    def __init__(self, names: Sequence[str], places: Sequence[Lane], root: Path) -> None:
        self.names, self.root = list(dict.fromkeys(names)), root
        self.free: SimpleQueue[Lane] = SimpleQueue()
        self.count = len(places)
        for lane in places:
            self.free.put(lane)
        self.failed: list[str] = []
        self.children = Children()

    def run(self) -> Iterator[str]:
        """Run the shared stages, then every method.

        Of several runs at once each waits for the other's shared stages and for a method it works
        on, and then finds it up to date.

        Raises:
            UserError: a shared stage failed.
            KeyboardInterrupt: Ctrl-C; no further method starts, running ones have saved.
        """
        with self._alone("shared"):
            self._share()
            stale = self._stale()
        yield from (f"{name}: is up to date" for name in self.names if name not in stale)
        with ThreadPoolExecutor(self.count) as pool:
            work = [pool.submit(self._work, name) for name in self.names if name in stale]
            try:
                for one in as_completed(work):
                    yield one.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.children.stop()
                raise

    def _share(self) -> None:
        """Run the shared stages; DVC refuses while another run reads what they have written."""
        told = LOGS / "shared.log"
        for _ in range(PATIENCE):
            if not self._dvc(["repro", *SHARED], {}, told, 1):
                return
            if not self._busy(told):
                raise UserError(f"preparing the pictures failed; see {told}")
            if self._dvc(["status", "--json", *SHARED], {}, STATUS) == 0 and not self._read():
                return
            time.sleep(1)
        raise UserError(
            f"{', '.join(SHARED)} have to run again, but another run reads their results; "
            f"try again when it has ended; see {told}"
        )

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold a lock that other runs in this project respect; a killed run holds none."""
        lock = FileLock(self.root / LOGS / f"{name}.lock")
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logging.getLogger(__name__).warning(
                "%s: waits for another fan-out, which is working on it", name
            )
        while not lock.is_locked and not self.children.stopped:
            with suppress(Timeout):
                lock.acquire(timeout=1)
        try:
            yield
        finally:
            lock.release()

    def _read(self) -> dict[str, Any]:
        """Return what ``dvc status --json`` wrote."""
        return dict(read_json(self.root / STATUS))

    def _busy(self, log: Path) -> bool:
        return any(word in (self.root / log).read_text() for word in BUSY)

    def _stale(self) -> set[str]:
        """Return the methods that are not up to date, by one call of DVC."""
        if self._dvc(["status", "--json"], {}, STATUS):
            return set(self.names)  # then each run finds out itself
        return {name.partition("@")[2] for name in self._read()}

    def _work(self, name: str) -> str:
        """Run a method on a free lane; return a line about how it ended."""
        lane, began, log = self.free.get(), time.monotonic(), LOGS / f"{name}.log"
        targets = [f"{stage}@{name}" for stage in STAGES]
        with self._alone(name):
            code = self._dvc(["repro", "--single-item", *targets], lane, log)
        self.free.put(lane)
        if code:
            self.failed.append(name)
        why = "is in use by another DVC" if code and self._busy(log) else "failed"
        ended = f"{why}, see {log}" if code else "done"
        return f"{name}: {ended} ({time.monotonic() - began:.0f} s)"

    def _dvc(
        self, arguments: Sequence[str], lane: Lane, log: Path, tries: int | None = None
    ) -> int:
        """Return the exit code of ``dvc``, with output to ``log`` and retries while it is busy."""
        path = self.root / log
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [*ENDING, sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
        errors = subprocess.STDOUT if arguments[0] == "repro" else subprocess.DEVNULL
        for _ in range(tries or PATIENCE):
            with path.open("w", encoding="utf-8") as out:
                code = self.children.run(
                    command, cwd=self.root, env={**os.environ, **lane}, stdout=out, stderr=errors
                )
            if not code or not self._busy(log):
                break
            time.sleep(1)
        return code


class Children:
    """Running processes, each the leader of a process group."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, command: Sequence[str], **options: Any) -> int:
        """Run a command and return its exit code; nothing starts after ``stop``."""
        if self.stopped:
            return INTERRUPTED
        with subprocess.Popen(command, start_new_session=True, **options) as child:  # noqa: S603
            self.running.add(child)
            code = child.wait()
        self.running.discard(child)
        return code

    def stop(self) -> None:
        """Interrupt all as Ctrl-C would, so that they save; later signal more firmly."""
        self.stopped = True
        for number, seconds in ((signal.SIGINT, SAVING), (signal.SIGTERM, SAVING)):
            for child in list(self.running):
                _signal_group(child.pid, number)
            end = time.monotonic() + seconds
            while any(child.poll() is None for child in list(self.running)):
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
        for child in list(self.running):
            _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
