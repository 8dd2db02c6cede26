"""Context of every stage script: a status record, and errors in one line."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import NoReturn

from atelier.core import allocator
from atelier.core.config import Params, UserError
from atelier.core.console import use_plain_characters
from atelier.core.device import out_of_memory
from atelier.core.files import disk_reason, how_to_restore, write_json
from atelier.core.images import ImageError
from atelier.core.logs import show_logs
from atelier.core.paths import Results
from atelier.core.process import follow_dvc, identity, interrupt_on_sigterm
from atelier.core.structure import NAME

MEMORY = "out of memory; lower `batch` or `crop`, or raise `accumulate` or set a `tile`"
RESTORE_ONLY = "ATELIER_RESTORE_ONLY"
"""Environment variable of a ``dvc repro`` that only restores results: no stage may run."""


def stage_entry() -> str:
    """Return the method of a stage's script: its argument, or that of DVC's stage.

    DVC passes it in ``DVC_STAGE``, such as ``train@adain``. In a command of ``dvc.yaml`` the shell
    would interpret a name before it is checked. An invalid name ends the script.
    """
    named = os.environ.get("DVC_STAGE", "").rpartition("@")[2]
    name = sys.argv[1] if len(sys.argv) > 1 else named
    if not NAME.fullmatch(name):
        sys.exit(f"error: {name!r} is not a name of a method; give one of params.yaml's `methods`")
    return name


@contextmanager
def stage(name: str, method: str | None = None) -> Iterator[None]:
    """Run a stage's work; a user's mistake ends it with one line and exit code 1.

    For a stage of a method, ``results/status/<method>.json`` tells table and dashboard that it is
    running or why it failed. DVC does not track it: a failed stage has no outputs, and metrics of
    an earlier run must not be taken for its own.
    """
    use_plain_characters()
    interrupt_on_sigterm()
    follow_dvc()
    note = _Note(name, method)
    try:
        _refuse_if_restoring()
        note.write("running", since=datetime.now(UTC).isoformat(), process=identity())
        yield
    except SystemExit:  # of a launcher: the process that failed has noted why
        raise
    except KeyboardInterrupt:
        note.write("failed", error="stopped by the user")
        print(f"\n{name} stopped; `dvc repro` resumes from here", file=sys.stderr)
        sys.exit(130)
    except ImageError as error:
        ours = Results().folder.absolute() in error.path.absolute().parents
        note.fail(f"{error}; {how_to_restore(error.path)}" if ours else str(error))
    except UserError as error:
        note.fail(str(error))
    except BaseException as error:
        if reason := disk_reason(error):
            note.fail(reason)
        if out_of_memory(error):
            note.fail(MEMORY)
        with suppress(OSError):
            note.write("failed", error=f"{error!r}"[:500])
        raise
    note.remove()


def _refuse_if_restoring() -> None:
    if os.environ.get(RESTORE_ONLY):
        raise UserError("its result is not in the run cache, from which it was to be restored")


class _Note:
    """Status record of a method's stage; none for a stage without a method."""

    def __init__(self, name: str, method: str | None) -> None:
        self.path = Results().status(method) if method else None
        self.what = f"{name} of {method}" if method else name
        self.fixed = {"stage": name}
        if method:
            with suppress(UserError):  # the stage itself reports what params.yaml lacks
                self.fixed["key"] = Params.load().key(method)

    def write(self, state: str, **more: str) -> None:
        if self.path:
            write_json(self.path, {**self.fixed, "state": state, **more})

    def fail(self, reason: str) -> NoReturn:
        """End the stage with one line: no traceback for what the user can fix."""
        with suppress(OSError):  # a full disk cannot store a record either
            self.write("failed", error=reason)
        print(f"error: {self.what}: {reason}", file=sys.stderr)
        sys.exit(1)

    def remove(self) -> None:
        if self.path:
            self.path.unlink(missing_ok=True)


def tune_process() -> None:
    """Set up the process of a stage: memory, garbage collection, log messages."""
    allocator.keep_memory()
    spare_collection()
    show_logs()


def spare_collection() -> None:
    """Run the garbage collector less often, and never on what is already loaded.

    MLflow and torch's compiler create hundreds of thousands of objects and no garbage; at exit all
    modules would be scanned again. Together this saves a second of a short stage.
    """
    gc.freeze()
    gc.set_threshold(70_000)
