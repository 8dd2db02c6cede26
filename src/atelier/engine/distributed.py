"""Data-parallel training: several processes train one system, each on its part of every batch.

``torchrun`` starts them (``devices`` in ``params.yaml`` runs it), or ``cluster.launcher`` on
several machines (``nodes``). Gradients are averaged once per optimiser, just before its update.
Unlike DistributedDataParallel this wraps no network, so a generator may be applied several times
before a backward pass, and a discriminator may be frozen.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from atelier.core.config import UserError
from atelier.core.files import atomic
from atelier.core.process import die_with_parent

T = TypeVar("T")
LAUNCHER = ("-m", "atelier.engine.launcher", "--standalone")
NODES_LAUNCHER = ("-m", "atelier.cluster.launcher")
LOST = ("by peer", "remote process exited")
"""Words of gloo and of NCCL where another process has ended."""
STORE_ERRORS = (dist.DistNetworkError, dist.DistStoreError)


@dataclass(frozen=True)
class ProcessGroup:
    """Group of processes that train together; a single process unless ``process_group``."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Return whether this process writes, displays and logs."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each by its mean over the processes, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])  # one call, not hundreds
        dist.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, parts, strict=True):
            tensor.copy_(mean.view_as(tensor))

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return each value's mean over the processes."""
        everyone = self.gather(dict(values))
        return {key: sum(one[key] for one in everyone) / self.size for key in values}

    def any(self, value: bool) -> bool:
        """Return whether ``value`` is true in at least one process."""
        return any(self.gather(value))

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in order of rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def from_main(self, call: Callable[[], T]) -> T:
        """Return in all processes what ``call`` returns in the main one; it must not raise."""
        if self.size == 1:
            return call()
        found: list[Any] = [call() if self.is_main else None]
        dist.broadcast_object_list(found)
        result: T = found[0]
        return result

    def copy(self, path: Path) -> None:
        """Give processes that have no such file, or another one, that of the main process.

        Machines need not share a disk. A file that the main process lacks is left as it is.
        """
        content = self.from_main(lambda: _content(path))
        if content is not None and content != _content(path):
            with atomic(path) as part:
                part.write_bytes(content)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


ALONE = ProcessGroup()


def started() -> bool:
    """Return whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_main() -> bool:
    """Return whether this process is the first of the group, or alone."""
    return os.environ.get("RANK", "0") == "0"


def launch(devices: int, device: str, nodes: int = 1) -> None:
    """Replace this script by ``devices`` processes that run it again, unless it is one of them.

    They are divided among ``nodes`` machines.

    Raises:
        UserError: there are fewer GPUs, or ``device`` names one of them.
    """
    each = devices // nodes
    if devices > 1 and not started():
        if ":" in device:
            raise UserError(f"params.yaml: devices: {devices} needs `device: cuda` or auto")
        if device == "cuda" and torch.cuda.device_count() < each:
            raise UserError(
                f"params.yaml: devices: {devices}, but {torch.cuda.device_count()} GPUs are visible"
            )
        launcher = [*LAUNCHER, f"--nproc-per-node={devices}"] if nodes == 1 else NODES_LAUNCHER
        os.execv(sys.executable, [sys.executable, *launcher, *sys.argv])  # noqa: S606 - this script


def own_device(device: str) -> str:
    """Return ``cuda`` as this process's own GPU of the machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if started() and device == "cuda" else device


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """Join the group that a launcher started (gloo on CPUs, NCCL on GPUs), else yield ``ALONE``.

    Raises:
        UserError: another process was lost.
    """
    if not started():
        yield ALONE
        return
    # Killed by SIGKILL, a launcher would leave its processes running.
    die_with_parent(signal.SIGKILL)
    if device.startswith("cuda"):
        torch.cuda.set_device(own_device(device))
    try:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        yield ProcessGroup(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        if isinstance(error, STORE_ERRORS) or any(word in str(error) for word in LOST):
            raise UserError("another process of this training has ended") from None
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
