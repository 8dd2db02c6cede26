"""Folders of a training on its nodes: one that they share, or checkouts with pulled inputs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from atelier.cluster.dvc import LOGS, Dvc
from atelier.cluster.head import assignment, head_facts, push_inputs
from atelier.cluster.node import Assignment, be_interruptible, checkout, fetch_inputs
from atelier.cluster.node_facts import node_facts, other_versions
from atelier.cluster.ray_cluster import first_line
from atelier.cluster.ray_placement import PLACEMENT, Reservation
from atelier.cluster.remote import Remote, shared_remote
from atelier.core.config import Params, UserError


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


@contextmanager
def marked_folder() -> Iterator[str]:
    """Yield the name of a file by which a node recognises this folder as its own."""
    path = LOGS / f"{uuid.uuid4().hex}.here"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def prepare_folders(
    entry: str, params: Params, reserved: Reservation, parts: Sequence[Part]
) -> dict[int, tuple[Path, Assignment]]:
    """Return number → folder of each other node, which has the inputs, and what it is told.

    Raises:
        UserError: a node differs, was lost or cannot fetch the inputs, or they cannot be pushed.
    """
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
        raise UserError(f"a node of the training does not answer ({first_line(error)})") from None


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
