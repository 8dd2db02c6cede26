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
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from atelier.cluster import ray_tasks
from atelier.cluster.dvc import LOGS, Dvc
from atelier.cluster.head import assignment, head_facts, push_inputs
from atelier.cluster.node import (
    Assignment,
    be_interruptible,
    checkout,
    environment,
    fetch_inputs,
)
from atelier.cluster.node_facts import node_facts, other_versions
from atelier.cluster.ranks import INTERRUPTED, last_line, run_ranks, variables
from atelier.cluster.ray_placement import PLACEMENT, Reservation, known, reserve
from atelier.cluster.remote import Remote, shared_remote
from atelier.core.config import Params, UserError

log = logging.getLogger(__name__)
LEAVING = 30.0
"""Seconds in which the other nodes' processes may end after those here."""
ROOM = 5.0
"""Seconds after which it is said that the cluster has no room yet."""


@dataclass(frozen=True)
class Part:
    """One node's part of a training."""

    number: int
    """From 0, the node that the stage runs on."""
    node: str
    """Its name."""
    folder: Path
    """Checkout of the first node."""
    mark: str
    """Name of a file there: who sees it shares the folder."""
    command: tuple[str, ...]
    variables: list[dict[str, str]]
    """Of each process."""


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
    needs = ray_tasks.resources(params.devices, params.nodes)
    with _reservation(needs, params.nodes) as (reserved, gpus), _mark() as mark:
        parts = _parts(reserved, params, (*command, entry), mark)
        folders = _prepare(entry, params, reserved, parts)
        names = ", ".join(part.node for part in parts)
        log.info("train %s: %d processes on %s", entry, params.devices, names)
        running = {
            part.node: reserved.of(_run_task(), part.number).remote(part, *folders[part.number])
            for part in parts[1:]
        }
        own = {**os.environ, "CUDA_VISIBLE_DEVICES": gpus} if gpus else dict(os.environ)
        return _follow(parts[0], own, Ends(running))


@contextmanager
def _reservation(needs: dict[str, float], nodes: int) -> Iterator[tuple[Reservation, str]]:
    """Yield resources on all nodes, this one the first, and its GPUs ("": those that are visible).

    As a method of ``atelier fan-out --ray``, this process runs within a reservation.
    """
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
                pass
        holder = reserved.of(ray.remote(Holder), 0).remote()
        yield reserved, ",".join(ray.get(holder.gpus.remote()))
    finally:
        reserved.free()


@contextmanager
def _mark() -> Iterator[str]:
    """Yield the name of a file by which a node recognises this folder as its own."""
    path = LOGS / f"{uuid.uuid4().hex}.here"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


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


def _prepare(
    entry: str, params: Params, reserved: Reservation, parts: Sequence[Part]
) -> dict[int, tuple[Path, Assignment]]:
    """Return number → folder of each other node, which has the inputs, and what it is told."""
    here, dvc = Path.cwd(), Dvc(Path.cwd())
    others = {part.number: part for part in parts[1:]}
    shares = _ask(reserved, others, _shares)
    head, remote = node_facts(), Remote("none")
    if not all(shares.values()):
        head, remote = head_facts(here), shared_remote(dvc)
        if PLACEMENT not in os.environ:  # else the head has done it
            push_inputs(dvc, remote)
    told = assignment(entry, params, here, head, remote)
    made = _ask(reserved, others, _folder, told)
    if errors := [error for error, _ in made.values() if error]:
        raise UserError("\n".join(errors))
    return {number: (folder, told) for number, (_, folder) in made.items()}


def _ask(reserved: Reservation, parts: dict[int, Part], call: Any, *more: Any) -> dict[int, Any]:
    """Return what ``call`` returns on each node.

    Raises:
        UserError: a node was lost.
    """
    asked = {
        number: reserved.of(ray.remote(call), number).remote(part, *more)
        for number, part in parts.items()
    }
    try:
        return {number: ray.get(ref) for number, ref in asked.items()}
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"a node of the training does not answer ({reason})") from None


def _shares(part: Part) -> bool:
    """Return whether this node's checkout is the first node's, on a disk that they share."""
    if not (part.folder / part.mark).is_file():
        return False
    project = node_facts()["project"]
    return not project or part.folder.resolve().is_relative_to(project)


def _folder(part: Part, told: Assignment) -> tuple[str, Path]:
    """Return an error, or "", and this node's folder, with the training's inputs."""
    be_interruptible()
    if _shares(part):
        return "; ".join(other_versions(told.head, node_facts(), part.node)), part.folder
    try:
        with checkout(told, part.node) as folder:
            fetch_inputs(told, folder)
            return "", folder
    except UserError as error:
        return str(error), part.folder


def _run_task() -> Any:
    return ray.remote(_run)


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
    said = last_line(path)
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
        UserError: a process of another node failed.
    """
    environments = [own | one for one in part.variables]
    try:
        code = run_ranks(part.command, environments, ends.failed)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            ends.leave()
        return INTERRUPTED
    if reason := ends.leave():
        raise UserError(reason)
    return code
