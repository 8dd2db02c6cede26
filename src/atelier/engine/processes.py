"""Batches made by several processes of this machine, for methods with work of their own for each.

Only where a batch is computed differs: pictures, records and what an interrupted run resumes from
are those of ``stylize``.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from atelier.core.allocator import keep_memory
from atelier.core.pairing import Job
from atelier.datasets.parallel import parallel
from atelier.engine.stylize import run_batch
from atelier.methods.base import Method


@dataclass(frozen=True)
class _Task:
    """A batch, and all that a process needs to compute it."""

    method: Method[Any]
    number: int
    jobs: Sequence[Job]
    kept: Path
    threads: int


@dataclass(frozen=True)
class Processes:
    """Up to ``count`` processes that make batches; they share the threads of this one.

    Results are those of ``stylize`` alone, bit for bit where both compute on one thread; sums over
    several round differently.
    """

    method: Method[Any]
    """On a CPU; it is pickled."""
    count: int

    def make(self, todo: Mapping[int, Sequence[Job]], kept: Path, what: str) -> None:
        """Make the batches of ``todo``, by number, into ``kept``; see ``stylize``."""
        threads = max(1, torch.get_num_threads() // min(self.count, len(todo)))
        tasks = [_Task(self.method, n, jobs, kept, threads) for n, jobs in todo.items()]
        for _ in parallel(_work, tasks, what, self.count, least=1, remedy="a smaller `batch`"):
            pass


def _work(task: _Task) -> None:
    if multiprocessing.parent_process():  # a single batch is made by the caller's own process
        keep_memory()
        torch.set_num_threads(task.threads)
    for _ in run_batch(task.method, task.number, task.jobs, task.kept):
        pass
