"""Parallel map over files, on all cores, in order, with progress and prompt interruption."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TypeVar

from atelier.core.config import UserError
from atelier.tracking.progress import progress

A = TypeVar("A")
B = TypeVar("B")

UNGUARDED = 78
"""Exit code of a worker that called ``parallel`` while importing the main script."""
ENDING = 5.0
"""Seconds to wait for the exit code of a worker that has died."""
PER_WORKER = 32
"""Number of small pictures that take as long as starting a process."""


def cores() -> int:
    """Return the number of cores this process may use; a container may allow less than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel(
    function: Callable[[A], B],
    tasks: Sequence[A],
    what: str,
    workers: int | None = None,
    *,
    least: int = PER_WORKER,
    remedy: str = "a lower `max_megapixels`",
) -> Iterator[B]:
    """Yield ``function(task)`` for every task, in order.

    ``function`` must be importable (top level of a module). With ``workers=1``, or too few tasks to
    be worth a process, everything runs in this process.

    Args:
        function: what to do with a task.
        tasks: arguments, which are sent to the processes.
        what: label of progress and messages.
        workers: number of processes; None: one per core.
        least: tasks that are worth a process.
        remedy: what to do about memory instead of fewer ``workers``, for a message.

    Raises:
        UserError: a worker died, usually for lack of memory; or the calling script has no main
            guard, so that every worker, which imports it first, would call this again.
    """
    count = min(workers or cores(), -(-len(tasks) // least))
    if count <= 1:
        yield from progress(map(function, tasks), len(tasks), what)
        return
    _leave_if_imported()
    others, started = set(multiprocessing.active_children()), set[BaseProcess]()
    try:
        with _pool(count) as pool:
            results = pool.map(function, tasks, chunksize=min(4, least))
            started = set(multiprocessing.active_children()) - others
            yield from progress(results, len(tasks), what)
    except BrokenProcessPool:
        raise UserError(f"{what}: {_why_broken(started, remedy)}") from None


def _leave_if_imported() -> None:
    """End a worker that is still importing the main script, which has called ``parallel`` again.

    Python would end it with a traceback of twenty lines for each worker.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(UNGUARDED)


def _why_broken(workers: Collection[BaseProcess], remedy: str) -> str:
    for worker in workers:  # the pool is told before they have really ended
        worker.join(ENDING)
    if UNGUARDED in {worker.exitcode for worker in workers}:
        return (
            "each worker process first imports your script, which calls this again; put the call "
            'below `if __name__ == "__main__":`, or set `workers: 1`'
        )
    reason = "a worker process died, probably for lack of memory"
    return f"{reason}; set fewer `workers` or {remedy}"


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    others = set(multiprocessing.active_children())
    # Fork would copy the locks of torch's threads in an arbitrary state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_die_on_interrupt)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        _stop(pool, set(multiprocessing.active_children()) - others)
        raise


def _stop(pool: ProcessPoolExecutor, processes: set[BaseProcess]) -> None:
    """Stop at once: ``shutdown`` alone would finish the pictures already submitted."""
    with _cancelled_quietly():
        for process in processes:
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _cancelled_quietly() -> Iterator[None]:
    """Hide a traceback of the pool's own thread, which fails at work that was cancelled.

    It tells every piece of work that the workers have died, and stumbles over those that are not
    waited for any more (CPython's ``terminate_broken``).
    """
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, InvalidStateError):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _die_on_interrupt() -> None:
    # Ctrl-C reaches every process of the terminal: avoid a traceback from each worker.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
