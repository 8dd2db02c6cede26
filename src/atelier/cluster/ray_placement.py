"""Reservation of the same resources on several nodes: Ray's placement groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorClass
from ray.util import placement_group, placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

PLACEMENT = "ATELIER_PLACEMENT"
"""Environment variable for a reservation whose first node the process runs on."""


@dataclass(frozen=True)
class Reservation:
    """Resources on several nodes, the same on each."""

    group: PlacementGroup
    needs: Mapping[str, float]
    """Options of a task that takes all of one node's."""

    @property
    def name(self) -> str:
        """Text by which ``known`` returns the reservation in another process."""
        return str(self.group.id.hex())

    def of(self, task: Any, number: int, **options: Any) -> Any:
        """Return a remote function or class as one that runs on the node ``number``, from 0.

        Unless the options say otherwise, it is not begun again after its node was lost.
        """
        where = PlacementGroupSchedulingStrategy(self.group, number)
        retries = {} if isinstance(task, ActorClass) else {"max_retries": 0}
        return task.options(**retries | options, **self.needs, scheduling_strategy=where)

    def nodes(self) -> dict[int, str]:
        """Return number → id of the nodes; empty while there is no room."""
        return dict(placement_group_table(self.group)["bundles_to_node_id"])

    def free(self) -> None:
        """End it, with the tasks that still run there."""
        remove_placement_group(self.group)


def reserve(needs: Mapping[str, float], nodes: int, first: str = "") -> Reservation:
    """Return a reservation, which is complete once the nodes have room.

    Args:
        needs: ``ray_tasks.resources`` of each node.
        nodes: their number.
        first: id of the node that has to be the first; "": any.
    """
    names = {"num_gpus": "GPU", "num_cpus": "CPU"}
    bundle = {names[key]: value for key, value in needs.items()}
    selectors = [{"ray.io/node-id": first}, *({} for _ in range(nodes - 1))] if first else None
    group = placement_group(
        [bundle] * nodes, strategy="STRICT_SPREAD", bundle_label_selector=selectors
    )
    return Reservation(group, needs)


def known(name: str, needs: Mapping[str, float]) -> Reservation:
    """Return the reservation that another process has made."""
    return Reservation(PlacementGroup(ray.PlacementGroupID.from_hex(name)), needs)
