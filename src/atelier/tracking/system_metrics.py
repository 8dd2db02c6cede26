"""Current use of processor and memory, read in microseconds, without a thread or a package."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

STATM = Path("/proc/self/statm")
"""Linux: sizes of the process in pages, the second is its resident memory."""


class Gauges:
    """Use of processor and memory; that of the processor is the mean since the last reading."""

    def __init__(self) -> None:
        self._at, self._cpu = time.monotonic(), _cpu_seconds()

    def read(self, least: float) -> dict[str, float]:
        """Return the gauges; {} less than ``least`` seconds after the last reading.

        ``cpu_percent`` is 100 for one busy core, ``memory_mib`` that of the process and
        ``gpu_memory_mib`` that of torch, each where it is known.
        """
        now, cpu = time.monotonic(), _cpu_seconds()
        if now - self._at < max(least, 1e-3):
            return {}
        found = {"cpu_percent": 100 * (cpu - self._cpu) / (now - self._at), **_memory()}
        self._at, self._cpu = now, cpu
        return found


def _cpu_seconds() -> float:
    """Return the seconds of all threads; worker processes count after they have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _memory() -> dict[str, float]:
    found: dict[str, float] = {}
    if STATM.is_file():
        pages = int(STATM.read_text(encoding="ascii").split()[1])
        found["memory_mib"] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        found["gpu_memory_mib"] = torch.cuda.memory_reserved() / 2**20
    return found
