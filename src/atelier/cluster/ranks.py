"""Processes of one training on one machine; the group of all machines' is ``engine.distributed``.

Independent of Ray; see ``ray_training``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atelier.cluster.dvc import ENDING, Children

POLL = 0.2
GRACE = 15.0
"""Seconds in which the others may end by themselves when one has failed."""
INTERRUPTED = 130


def variables(first: int, count: int, total: int, address: str, port: int) -> list[dict[str, str]]:
    """Return the environment variables by which each of a machine's processes joins the group.

    Args:
        first: rank of the machine's first process.
        count: number of its processes.
        total: number of all processes.
        address: address of the machine of rank 0.
        port: its port for the rendezvous.
    """
    shared = {"WORLD_SIZE": str(total), "MASTER_ADDR": address, "MASTER_PORT": str(port)}
    return [
        {**shared, "RANK": str(first + local), "LOCAL_RANK": str(local)} for local in range(count)
    ]


def run_ranks(
    command: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    failed_elsewhere: Callable[[], bool] = lambda: False,
    **options: Any,
) -> int:
    """Run this Python with ``command`` once per environment; return the first failure's exit code.

    When one fails, here or elsewhere, the others are ended if they do not end by themselves.

    Args:
        command: arguments of Python.
        environments: complete environment of each process.
        failed_elsewhere: whether another machine's process has failed.
        options: of ``subprocess.Popen``: folder, output.

    Raises:
        KeyboardInterrupt: Ctrl-C; all have saved and ended.
    """
    children = Children()
    whole = [*ENDING, sys.executable, *command]
    try:
        started = [children.start(whole, env=dict(one), **options) for one in environments]
        while _running(started) and not _code(started) and not failed_elsewhere():
            time.sleep(POLL)
        end = time.monotonic() + GRACE
        while _running(started) and time.monotonic() < end:
            time.sleep(POLL)
        failure = _code(started)
        children.kill()
    except BaseException:
        children.stop()
        raise
    for one in started:
        one.wait()
    return failure or min(_code(started), 1)  # a signal would be ours


def _running(started: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(one.poll() is None for one in started)


def _code(started: Sequence[subprocess.Popen[bytes]]) -> int:
    """Return the exit code of the first that has failed, as a shell's; 0 if none has."""
    code = next((one.returncode for one in started if one.poll()), 0)
    return 128 - code if code < 0 else code


def killed_by(code: int) -> str:
    """Return a sentence if a signal ended the process with this exit code, which says nothing."""
    if code <= 128 or code == INTERRUPTED:
        return ""
    return f"a process was ended by {signal.Signals(code - 128).name}"


def last_line(log: Path) -> str:
    """Return the last line of a log, "" if it has none."""
    lines = log.read_text("utf-8", "replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
