"""DVC as a child process: retried while another ``dvc`` writes, interrupted so that stages save."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from atelier.core.config import UserError
from atelier.core.files import read_json
from atelier.reports.parameters import STAGES

SHARED = ("settings", "reference", "pretrained")
"""Stages that all methods need; with their own dependencies."""
LOGS = Path(".checkpoints/fan-out")
STATUS = LOGS / "status.log"
BUSY = ("Unable to acquire lock", "is busy")
"""Messages with which DVC gives up, before any work, while another ``dvc`` writes."""
PATIENCE = 40
"""Number of retries while DVC is busy, one second apart."""
ENDING = (sys.executable, "-m", "atelier.core.process")
"""Prefix that ends a command with this process, even on SIGKILL."""
INTERRUPTED = 130
SAVING = 60.0
"""Seconds in which a training may finish its step and save, before the next signal."""
POLL = 1.0
"""Seconds between two looks at a child: Ray's cancellation is no signal that would end a wait."""


def targets(name: str) -> list[str]:
    """Return the stages of a method as DVC's targets."""
    return [f"{stage}@{name}" for stage in STAGES]


class Children:
    """Running processes, each the leader of a process group."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, command: Sequence[str], **options: Any) -> int:
        """Run a command and return its exit code; nothing starts after ``stop``.

        Raises:
            KeyboardInterrupt: Ctrl-C, or Ray's cancellation; all processes have been stopped.
        """
        if self.stopped:
            return INTERRUPTED
        with self.start(command, **options) as child:
            try:
                code = _wait(child)
            except BaseException:
                self.stop()
                raise
        self.running.discard(child)
        return code

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command that ``stop`` and ``kill`` reach."""
        child = subprocess.Popen(command, start_new_session=True, **options)  # noqa: S603
        self.running.add(child)
        if self.stopped:  # meanwhile, by another thread
            _signal_group(child.pid, signal.SIGTERM)
        return child

    def kill(self) -> None:
        """End all at once."""
        self.stopped = True
        for child in list(self.running):
            _signal_group(child.pid, signal.SIGKILL)

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
        self.kill()


def _wait(child: subprocess.Popen[bytes]) -> int:
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(POLL)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class Dvc:
    """``dvc`` in the project at ``root``, with the children it runs as."""

    def __init__(
        self,
        root: Path,
        children: Children | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.root, self.children = root, children or Children()
        self.environment = environment

    def run(
        self,
        arguments: Sequence[str],
        log: Path,
        more: Mapping[str, str] | None = None,
        tries: int | None = None,
    ) -> int:
        """Return the exit code of ``dvc``, with output to ``log`` and retries while it is busy.

        Args:
            arguments: the subcommand and its arguments.
            log: file below the root; without warnings for subcommands that print JSON.
            more: environment variables of this call.
            tries: attempts while it is busy; default ``PATIENCE``.
        """
        path = self.root / log
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [*ENDING, sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
        errors = subprocess.DEVNULL if "--json" in arguments else subprocess.STDOUT
        env = {**self.environment, **(more or {})}
        for _ in range(tries or PATIENCE):
            with path.open("w", encoding="utf-8") as out:
                code = self.children.run(command, cwd=self.root, env=env, stdout=out, stderr=errors)
            if not code or not self.busy(log):
                break
            time.sleep(1)
        return code

    def busy(self, log: Path) -> bool:
        """Return whether DVC gave up because another one was writing."""
        text = (self.root / log).read_text("utf-8", "replace")
        return any(word in text for word in BUSY)

    def status(self, *stages: str) -> dict[str, Any] | None:
        """Return the stages that are not up to date; None where DVC cannot tell."""
        if self.run(["status", "--json", *stages], STATUS):
            return None
        return dict(read_json(self.root / STATUS))


def prepare(dvc: Dvc) -> None:
    """Run the shared stages; DVC refuses while another run reads what they have written.

    Raises:
        UserError: one failed, or has to run again while another run reads their results.
    """
    log = LOGS / "shared.log"
    for _ in range(PATIENCE):
        if not dvc.run(["repro", *SHARED], log, tries=1):
            return
        if not dvc.busy(log):
            raise UserError(f"preparing the pictures failed; see {log}")
        if dvc.status(*SHARED) == {}:
            return
        time.sleep(1)
    raise UserError(
        f"{', '.join(SHARED)} have to run again, but another run reads their results; "
        f"try again when it has ended; see {log}"
    )


def stale_methods(dvc: Dvc, names: Sequence[str]) -> set[str]:
    """Return the methods that are not up to date, by one call of DVC."""
    stale = dvc.status()
    if stale is None:
        return set(names)  # then each run finds out itself
    return {name.partition("@")[2] for name in stale} & set(names)


@contextmanager
def alone(name: str, dvc: Dvc) -> Iterator[None]:
    """Hold a lock that other runs in this project respect; a killed run holds none."""
    lock = FileLock(dvc.root / LOGS / f"{name}.lock")
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logging.getLogger(__name__).warning(
            "%s: waits for another fan-out, which is working on it", name
        )
    while not lock.is_locked and not dvc.children.stopped:
        with suppress(Timeout):
            lock.acquire(timeout=1)
    try:
        yield
    finally:
        lock.release()
