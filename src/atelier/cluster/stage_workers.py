"""Workers for a stage's pictures on a Ray cluster; found by ``core.workers``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from atelier.cluster.ray_cluster import connected, inside_address
from atelier.core.workers import Workers


@contextmanager
def connect(count: int) -> Iterator[Workers]:
    """Yield ``count`` workers of the cluster that this machine is part of, or ``RAY_ADDRESS``.

    Raises:
        UserError: no Ray, no cluster, or a node with another version.
    """
    asked = f"params.yaml: cluster_workers: {count}"
    with connected(inside_address(asked), asked_by=asked):
        from atelier.cluster import ray_pieces, ray_tasks  # noqa: PLC0415 - import Ray, an extra

        ray_tasks.refuse_other_versions()
        with ray_pieces.here() as home:
            yield ray_pieces.RayWorkers(count, home)
