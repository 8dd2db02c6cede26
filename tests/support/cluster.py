"""A Ray cluster on this machine: a process per node, each with its own checkout."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from support.bench import ROOT

MEMORY = 80 * 2**20
"""Bytes of a node's object store: ours holds texts."""
PATIENCE = {"RAY_agent_register_timeout_ms": "300000"}
ATTEMPTS = 3
"""A node gives up when its agents take more than 15 seconds to start, on a busy machine."""
PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")
"""Named beforehand: they are fewer things to wait for."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class RayCluster:
    """A head of ``cores``, and a node of one core for each of ``nodes``; to be shut down."""

    def __init__(self, nodes: Mapping[str, Mapping[str, str]], cores: int = 0) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - an extra

        os.environ.update({**PATIENCE, "RAY_USAGE_STATS_ENABLED": "0"})
        self.cluster, self.count = Cluster(), 0
        self._start(num_cpus=cores, node_name="head")
        self.address: str = self.cluster.address
        self.nodes: dict[str, Any] = {}
        for name, environment in nodes.items():
            self.add(name, environment)

    def add(self, name: str, environment: Mapping[str, str]) -> None:
        """Start a node whose workers have ``environment``, too."""
        self.count += 1
        address = f"127.0.0.{self.count + 1}"  # a driver joins a node of its own address: the head
        env = dict(environment)
        self.nodes[name] = self._start(
            node_name=name, env_vars=env, num_cpus=1, node_ip_address=address
        )

    def _start(self, **options: Any) -> Any:
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        small = {"object_store_memory": MEMORY, "include_dashboard": False}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.cluster.add_node(**options, **small, **ports)
            except Exception:  # Ray raises nothing narrower
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def kill(self, name: str) -> None:
        """As the power fails."""
        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def shutdown(self) -> None:
        """End all processes."""
        self.cluster.shutdown()


class Nodes:
    """Folder ``place`` with a checkout per node."""

    def __init__(self, place: Path, storage: dict[str, str]) -> None:
        self.place, self.storage = place, storage

    def environment(self, node: str) -> dict[str, str]:
        """Return the environment of a node."""
        paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        own = {"ATELIER_PROJECT": str(self.place / node), "PYTHONPATH": paths}
        return {**own, "OMP_NUM_THREADS": "1", **self.storage}


def at_work(folder: Path, method: str) -> dict[str, int]:
    """Node → process that runs DVC for ``method``, of nodes with checkouts below ``folder``."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            where = (entry / "cwd").resolve()
            words = (entry / "cmdline").read_bytes().split(b"\0")
            below = where.relative_to(folder).parts if where.is_relative_to(folder) else ()
            if below[1:] == (".checkpoints", "cluster", method) and b"dvc" in words:
                found[below[0]] = int(entry.name)
    return found


def kill_worker(dvc: int) -> None:
    """Kill Ray's process that started this DVC."""
    fields = Path(f"/proc/{dvc}/stat").read_text().rpartition(")")[2].split()
    os.kill(int(fields[1]), signal.SIGKILL)
