"""Processes that end with their parent, and checks whether a process is still alive.

``python -m atelier.core.process COMMAND …`` runs a command that gets SIGTERM when its parent dies.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
"""Name in <sys/prctl.h>."""
WATCH_SECONDS = 1.0
SHELLS = frozenset({"sh", "dash", "bash", "zsh", "fish", "ksh"})


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent dies (Linux only; a no-op elsewhere)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").prctl(PR_SET_PDEATHSIG, number)


def interrupt_on_sigterm() -> None:
    """Make SIGTERM act like Ctrl-C: save, report, exit."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's
    raise KeyboardInterrupt


def follow_dvc() -> None:
    """End this stage, as by Ctrl-C, when the DVC that runs it has died.

    A shell between the two survives DVC, so the kernel's signal for a dead parent never arrives;
    instead, the shell's own parent is polled every second. A process whose parent has died gets
    PID 1 as its parent: where that is not DVC itself, DVC died while this stage began.
    """
    if not os.environ.get("DVC_STAGE"):
        return
    parent = os.getppid()
    above = _parent(parent) if _name(parent) in SHELLS else None
    if 1 in {parent, above} and not _runs_dvc(_command(1)):
        os.kill(os.getpid(), signal.SIGTERM)
        return
    threading.Thread(target=_watch, args=(parent, above), daemon=True).start()


def _watch(parent: int, above: int | None) -> None:
    while os.getppid() == parent and (above is None or _parent(parent) == above):
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty where it cannot be read."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    return []


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="latin-1").strip()
    return ""


def identity() -> str:
    """Return an identity of this process that no later one with the same PID shares.

    It consists of the PID, the start time, the boot id and a digest of the host name.
    """
    return f"{os.getpid()} {_born(os.getpid())} {_machine()}"


def _born(pid: int) -> str:
    """Return when a process began, in ticks since boot, and the boot id."""
    fields = _stat(pid)
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{fields[19]} {boot}" if fields else "? ?"
    return "? ?"


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


def is_gone(process: object) -> bool:
    """Return whether the process with this ``identity`` has ended; False where that is unknown.

    It is unknown for processes of other machines, and where there is no /proc.
    """
    words = str(process).split()
    if len(words) != 4 or words[3] != _machine() or not _stat(os.getpid()) or "?" in words:
        return False
    fields = _stat(int(words[0])) if words[0].isdigit() else []
    return not fields or fields[0] == "Z" or _born(int(words[0])) != " ".join(words[1:3])


def dvc_at_work(root: Path) -> list[int]:
    """Return the PIDs of DVC processes whose working directory is ``root`` or below it."""
    found, root = [], root.resolve()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            where = (entry / "cwd").resolve()
            inside = where == root or root in where.parents
            if inside and _runs_dvc(_command(int(entry.name))):
                found.append(int(entry.name))
    return sorted(found)


def _command(pid: int) -> list[str]:
    """Return the words of a process's command line; [""] where they cannot be read."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/cmdline").read_text(encoding="latin-1")
        return text.split("\0")
    return [""]


def _runs_dvc(words: list[str]) -> bool:
    """Return whether it is ``dvc``, ``python …/dvc`` or ``python -m dvc``; a shell is not."""
    programs = [Path(word).name for word in words[:2]]
    return "dvc" in programs or words[1:3] == ["-m", "dvc"]


def main() -> None:
    """Replace this process by the command in the arguments."""
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is what is wanted


if __name__ == "__main__":
    main()
