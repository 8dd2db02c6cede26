"""Methods as tasks of a Ray cluster. Only the modules ``ray_*`` import Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from atelier.cluster import node_facts
from atelier.cluster.dvc import SAVING
from atelier.cluster.node import Assignment, Outcome, Reporter, run_method
from atelier.cluster.ray_cluster import ADDRESS, first_line
from atelier.cluster.ray_placement import PLACEMENT, reserve
from atelier.core.config import UserError

RETRIES = 3
"""Number of times a method is begun again after its node was lost."""
POLL = 0.5
"""Seconds between two looks at the nodes' reports."""
LEAVING = 15.0
"""Seconds beyond ``SAVING`` in which cancelled tasks may end."""
LANES = 4
"""Methods at once on a node without GPUs, as on one machine (``cli.fan_out``)."""


@dataclass(frozen=True)
class Report:
    """What happens to a method on a node."""

    method: str
    node: str
    """Its name."""
    kind: Literal["begin", "step", "log"]
    text: str
    """Name of the step, or new text of its log."""


@dataclass(frozen=True)
class End:
    """A method's end."""

    method: str
    outcome: Outcome


class Board:
    """Actor that keeps the tasks' reports, on the head's node: others may be lost."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str, str, str]] = []

    def add(self, *report: str) -> None:
        """Add a report: method, id of the node, kind, text."""
        self.reports.append(report)  # type: ignore[arg-type]

    def take(self) -> list[tuple[str, str, str, str]]:
        """Return the reports since the last call."""
        found, self.reports = self.reports, []
        return found


def _task(assignment: Assignment, board: Any) -> Outcome:
    node = ray.get_runtime_context().get_node_id()

    def add(kind: str, text: str) -> None:
        board.add.remote(assignment.method, node, kind, text)

    add("begin", "")
    if PLACEMENT in assignment.environment:  # a training on several nodes
        there = {**assignment.environment, ADDRESS: ray.get_runtime_context().gcs_address}
        assignment = replace(assignment, environment=there)
    report = Reporter(lambda text: add("step", text), lambda text: add("log", text))
    outcome = run_method(assignment, report, node_names().get(node, node))
    last = board.add.remote(assignment.method, node, "log", "")
    ray.wait([last], timeout=LEAVING)  # all before it have arrived
    return outcome


def node_names() -> dict[str, str]:
    """Return id → name of every node, with a part of the id where two that live share the name."""
    nodes = ray.nodes()
    names = {node["NodeID"]: node["NodeName"] or node["NodeID"] for node in nodes}
    shared = Counter(names[node["NodeID"]] for node in nodes if node["Alive"])
    return {key: f"{name} {key[:6]}" if shared[name] > 1 else name for key, name in names.items()}


def resources(devices: int, nodes: int = 1) -> dict[str, float]:
    """Return what a method asks of each of its ``nodes``.

    Its part of ``devices`` GPUs, or a share of the smallest node's cores.

    Raises:
        UserError: too few nodes have as many GPUs, or none has a core.
    """
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    working = [node for node in alive if node.get("CPU", 0) >= 1]
    if 1 < nodes > len(working):
        raise UserError(f"params.yaml: nodes: {nodes}, but the cluster has {len(working)}")
    each, most = devices // nodes, max((node.get("GPU", 0) for node in alive), default=0)
    if most:
        if most < each:
            raise UserError(f"params.yaml: devices: {devices}, but no node has more than {most:g}")
        if nodes > 1 and (count := sum(node.get("GPU", 0) >= each for node in working)) < nodes:
            raise UserError(f"params.yaml: nodes: {nodes}, but {count} have {each} GPUs")
        return {"num_gpus": each, "num_cpus": 1}
    cores = [int(node["CPU"]) for node in working]
    if not cores:
        raise UserError("the cluster has neither GPUs nor cores")
    return {"num_cpus": min(cores) // min(LANES, *cores)}


def facts_of_nodes() -> dict[str, dict[str, str]]:
    """Return name → ``node_facts`` of every node that can be given work; one lost meanwhile cannot.

    Raises:
        UserError: a node does not answer.
    """
    cloudpickle.register_pickle_by_value(node_facts)
    try:
        task, names, asked = ray.remote(node_facts.node_facts), node_names(), {}
        for node in ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                one = task.options(num_cpus=0, scheduling_strategy=there).remote()
                asked[node["NodeID"]] = one
        return {names[node]: facts for node, one in asked.items() if (facts := _answer(node, one))}
    finally:
        cloudpickle.unregister_pickle_by_value(node_facts)


def _answer(node: str, asked: Any) -> dict[str, str]:
    """Return a node's answer, or {} if it was lost."""
    try:
        answer: dict[str, str] = ray.get(asked)
    except ray.exceptions.RayError as error:
        if any(one["NodeID"] == node and one["Alive"] for one in ray.nodes()):
            raise UserError(
                f"a node of the cluster does not answer ({first_line(error)})"
            ) from None
        return {}
    return answer


def refuse_other_versions() -> None:
    """Raise ``UserError`` if a node's package or torch is not that of this machine."""
    head = node_facts.node_facts()
    nodes = facts_of_nodes().items()
    if found := [
        one for name, node in nodes for one in node_facts.other_versions(head, node, name)
    ]:
        raise UserError("\n".join(found))


def run_methods(
    assignments: Mapping[str, Assignment], needs: Mapping[str, float], nodes: int = 1
) -> Iterator[Report | End | None]:
    """Run methods on the nodes; yield their reports and ends, and None now and then.

    Args:
        assignments: by method.
        needs: ``resources``.
        nodes: number of nodes that each training takes.

    Raises:
        KeyboardInterrupt: Ctrl-C; all tasks have been cancelled and have saved.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    board = (
        ray.remote(Board).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
    )
    task, running, reserved = ray.remote(_task), {}, {}
    for name, one in assignments.items():
        if nodes > 1:
            reserved[name] = reserve(needs, nodes)
            own = {**one.environment, PLACEMENT: reserved[name].name}
            begin = reserved[name].of(task, 0, max_retries=RETRIES)
            running[begin.remote(replace(one, environment=own), board)] = name
        else:
            running[task.options(**needs, max_retries=RETRIES).remote(one, board)] = name
    try:
        while running:
            ready, _ = ray.wait(list(running), timeout=POLL)
            yield from _reports(board)
            yield None
            for ref in ready:
                name = running.pop(ref)
                if name in reserved:
                    reserved.pop(name).free()
                yield End(name, _outcome(ref))
    except BaseException:
        _cancel(list(running))
        raise


def _reports(board: Any) -> list[Report]:
    names = node_names()
    try:
        found = ray.get(board.take.remote())
    except ray.exceptions.RayError:  # lost with its node; it restarts on another
        return []
    return [Report(method, names.get(node, node), kind, text) for method, node, kind, text in found]


def _outcome(ref: Any) -> Outcome:
    try:
        found: Outcome = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        return Outcome(f"failed on its node: {error.cause!r}")
    except ray.exceptions.RayError as error:
        return Outcome(f"its node was lost {RETRIES + 1} times: {first_line(error)}")
    return found


def _cancel(refs: list[Any]) -> None:
    for ref in refs:
        ray.cancel(ref)
    if refs:
        ray.wait(refs, num_returns=len(refs), timeout=2 * SAVING + LEAVING)
