"""Apply a method to pictures in several processes, a batch at a time in each.

For methods with work of their own for every batch, as denoising. Only where its batches are
computed differs from ``stylize``: pictures, records and what an interrupted run resumes from are
the same.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from atelier.core.allocator import keep_memory
from atelier.core.pairing import Job
from atelier.datasets.parallel import parallel
from atelier.engine.stylize import (
    BatchRecord,
    batches,
    finished,
    record_path,
    run_batch,
    stylize,
    unfinished,
)
from atelier.methods.base import Method


@dataclass(frozen=True)
class _Task:
    """A batch, and all that a process needs to compute it."""

    method: Method[Any]
    jobs: Sequence[Job]
    kept: Path
    number: int
    threads: int


def stylize_parallel(
    method: Method[Any], jobs: Sequence[Job], kept: Path, what: str, workers: int
) -> list[BatchRecord]:
    """Stylise ``jobs`` as ``stylize`` does, by up to ``workers`` processes.

    They share the threads of this process. Results are those of ``stylize`` bit for bit where both
    compute on one thread; sums over several round differently.

    Args:
        method: a method on a CPU, which can be pickled.
        jobs: see ``stylize``.
        kept: see ``stylize``.
        what: label of the progress, which counts batches.
        workers: number of processes; with 1, or for a single batch, all is done here.
    """
    plan = batches(jobs, method.batch)
    if workers == 1 or len(plan) == 1:
        return stylize(method, jobs, kept, lambda *_: None, what)
    left = unfinished(plan, kept, what)
    threads = max(1, torch.get_num_threads() // min(workers, max(1, len(left))))
    tasks = [_Task(method, plan[n], kept, n, threads) for n in left]
    for _ in parallel(_work, tasks, what, workers, least=1, remedy="a smaller `batch`"):
        pass
    return finished(plan, kept)


def _work(task: _Task) -> None:
    if multiprocessing.parent_process():  # of a single batch the caller's own process takes care
        keep_memory()
        torch.set_num_threads(task.threads)
    for _ in run_batch(task.method, task.jobs, task.kept, record_path(task.kept, task.number)):
        pass
