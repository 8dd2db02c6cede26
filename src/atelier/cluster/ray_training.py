"""One training over several nodes of a Ray cluster, whose processes ``engine.distributed`` joins.

The first node is the one that the stage runs on: rank 0 writes what DVC expects there. Ray Train
would place it on any node, and bring a loop, checkpoints and storage of its own.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from atelier.cluster import ray_tasks
from atelier.cluster.dvc import LOGS
from atelier.cluster.node import Assignment, be_interruptible, environment
from atelier.cluster.ranks import INTERRUPTED, killed_by, last_line, run_ranks, variables
from atelier.cluster.ray_folders import Part, marked_folder, prepare_folders
from atelier.cluster.ray_placement import PLACEMENT, Reservation, known, reserve
from atelier.core.config import Params, UserError

log = logging.getLogger(__name__)
LEAVING = 30.0
"""Seconds in which the other nodes' processes may end after those here."""
ROOM = 5.0
"""Seconds after which it is said that the cluster has no room yet."""


class Holder:
    """Actor that takes the first node's resources for the processes that the stage starts."""

    def gpus(self) -> list[str]:
        """Return the numbers of the GPUs that it has been given."""
        return [str(number) for number in ray.get_gpu_ids()]


def train_on_nodes(entry: str, params: Params, command: Sequence[str]) -> int:
    """Run a training's processes on ``nodes`` machines; return the exit code of those here.

    Args:
        entry: the method.
        params: the settings.
        command: arguments of Python for each process.

    Raises:
        UserError: the cluster is too small, a node differs or was lost, or a process there failed.
        KeyboardInterrupt: Ctrl-C, before the training had begun.
    """
    with _reservation(params.devices, params.nodes) as (reserved, gpus), marked_folder() as mark:
        parts = _parts(reserved, params, (*command, entry), mark)
        folders = prepare_folders(entry, params, reserved, parts)
        names = ", ".join(part.node for part in parts)
        log.info("train %s: %d processes on %s", entry, params.devices, names)
        running = {
            part.node: reserved.of(ray.remote(_run), part.number).remote(
                part, *folders[part.number]
            )
            for part in parts[1:]
        }
        own = {**os.environ, "CUDA_VISIBLE_DEVICES": gpus} if gpus else dict(os.environ)
        return _follow(parts[0], own, Ends(running))


@contextmanager
def _reservation(devices: int, nodes: int) -> Iterator[tuple[Reservation, str]]:
    """Yield resources on all nodes, this one the first, and its GPUs ("": those that are visible).

    As a method of ``atelier fan-out --ray``, this process runs within a reservation.
    """
    needs = ray_tasks.resources(devices, nodes)
    if name := os.environ.get(PLACEMENT):
        yield known(name, needs), ""
        return
    here = ray.get_runtime_context().get_node_id()
    (own,) = (node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    if own.get("CPU", 0) < needs["num_cpus"] or own.get("GPU", 0) < needs.get("num_gpus", 0):
        raise UserError(
            f"params.yaml: nodes: {nodes}, but this machine, which has to be one of them, gives "
            "the cluster no GPU or core; start Ray here with some, or use `atelier fan-out --ray`"
        )
    reserved = reserve(needs, nodes, here)
    try:
        if not reserved.group.wait(ROOM):
            log.info("waits until %d nodes of the cluster have room", nodes)
            while not reserved.group.wait(ROOM):
                ray_tasks.resources(devices, nodes)  # raises if a node has been lost meanwhile
        holder = reserved.of(ray.remote(Holder), 0).remote()
        yield reserved, ",".join(ray.get(holder.gpus.remote()))
    finally:
        reserved.free()


def _parts(
    reserved: Reservation, params: Params, command: tuple[str, ...], mark: str
) -> list[Part]:
    each, names = params.devices // params.nodes, ray_tasks.node_names()
    ids = reserved.nodes()
    address = next(n["NodeManagerAddress"] for n in ray.nodes() if n["NodeID"] == ids[0])
    port = _free_port()
    return [
        Part(
            number,
            names[ids[number]],
            Path.cwd(),
            mark,
            command,
            variables(number * each, each, params.devices, address, port),
        )
        for number in range(params.nodes)
    ]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


def _run(part: Part, folder: Path, told: Assignment) -> tuple[int, str]:
    """Run this node's processes; return the exit code and the last line of their output."""
    be_interruptible()
    path = folder / LOGS / f"train-{told.method}-node-{part.number}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    own = environment(told, folder)
    with path.open("wb") as out:
        code = run_ranks(
            part.command,
            [own | one for one in part.variables],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    said = killed_by(code) or last_line(path)
    if folder != part.folder and not code:
        shutil.rmtree(folder, ignore_errors=True)
    return code, said


class Ends:
    """How the processes of the other nodes ended."""

    def __init__(self, running: dict[str, Any]) -> None:
        self.running = running
        self.ended: dict[str, tuple[int, str]] = {}

    def failed(self) -> bool:
        """Return whether those of a node have failed so far."""
        for node, ref in list(self.running.items()):
            if ray.wait([ref], timeout=0)[0]:
                self.ended[node] = _end(self.running.pop(node))
        return any(code not in {0, INTERRUPTED} for code, _ in self.ended.values())

    def leave(self) -> str:
        """Wait until all have ended, end those that have not; return why one failed, or ""."""
        end = time.monotonic() + LEAVING
        while not self.failed() and self.running and time.monotonic() < end:
            time.sleep(0.1)
        self.failed()
        for ref in self.running.values():
            ray.cancel(ref)
        if self.running:
            ray.wait(list(self.running.values()), num_returns=len(self.running), timeout=LEAVING)
        reasons = (
            f"{node}: {said}"
            for node, (code, said) in self.ended.items()
            if code not in {0, INTERRUPTED}
        )
        return next(reasons, "")


def _end(ref: Any) -> tuple[int, str]:
    try:
        found: tuple[int, str] = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        return 1, repr(error.cause)
    except ray.exceptions.RayError:
        return 1, "was lost; the training stops, and resumes from its last state when run again"
    return found


def _follow(part: Part, own: dict[str, str], ends: Ends) -> int:
    """Run the processes of this node; return their exit code.

    Raises:
        UserError: a process of another node failed, or a signal ended one here.
    """
    environments = [own | one for one in part.variables]
    try:
        code = run_ranks(part.command, environments, ends.failed)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            ends.leave()
        return INTERRUPTED
    elsewhere = ends.leave()
    if reason := killed_by(code):
        raise UserError(f"{part.node}: {reason}")
    if elsewhere:
        raise UserError(elsewhere)
    return code
