"""A Ray cluster on this machine: a process per node, each with its own checkout."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from support import bench
from support.bench import ROOT

STEPS = 60
"""Of a training that is stopped three times."""
FEW = 30
"""Of one over two nodes, which is stopped twice."""
SLOW = "SLOW_DISK"
"""Environment variable of a node: while the file of that name exists, checkpoints take a moment."""
START = 300.0
"""Seconds in which a node has to be up."""
MEMORY = 80 * 2**20
"""Bytes of a node's object store: ours holds texts."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    # five refusals in a row, and a node that was killed is given up; one that is only slow may take
    # as long as ever for each answer
    "RAY_health_check_period_ms": "500",
}
PATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}
"""A stage that has waited 10 seconds for the tracking server goes on without its run."""
LEAN = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
"""Without the processes that only show or scale something."""
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
    """A head, and a node of one core for each of ``nodes``; to be shut down."""

    def __init__(
        self,
        nodes: Mapping[str, Mapping[str, str]],
        cores: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start them; ``cores`` and ``environment`` are the head's."""
        from ray._private.utils import get_ray_address_file  # noqa: PLC0415 - an extra
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - an extra

        os.environ.update(SETTINGS)
        self.folder = tempfile.mkdtemp(prefix="ray-")  # a socket's path has at most 107 characters
        Path(get_ray_address_file(None)).parent.mkdir(exist_ok=True)  # Ray takes it for granted
        self.cluster, self.count = Cluster(), 0
        env = dict(environment or {})
        self._start(node_name="head", env_vars=env, num_cpus=cores, temp_dir=self.folder)
        self.address: str = self.cluster.address
        self.nodes: dict[str, Any] = {}
        for name, own in nodes.items():
            self.add(name, own)

    def add(self, name: str, environment: Mapping[str, str], cores: int = 1) -> None:
        """Start a node whose workers have ``environment``, too."""
        self.count += 1
        address = f"127.0.0.{self.count + 1}"  # a driver joins a node of its own address: the head
        env = dict(environment)
        self.nodes[name] = self._start(
            node_name=name, env_vars=env, num_cpus=cores, node_ip_address=address
        )

    def _start(self, **options: Any) -> Any:
        small = {"object_store_memory": MEMORY, **LEAN}
        for attempt in range(1, ATTEMPTS + 1):
            ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
            try:
                made = self.cluster.add_node(wait=False, **options, **small, **ports)
            except Exception:  # Ray raises nothing narrower
                if attempt == ATTEMPTS:
                    raise
            else:
                break
        self.cluster._wait_for_node(made, START)  # by default 30 seconds
        return made

    def actors(self, name: str) -> set[int]:
        """Return the PIDs of a node's processes that are actors of Ray Data."""
        (raylet,) = self.nodes[name].all_processes["raylet"]
        found = set()
        for one in psutil.Process(raylet.process.pid).children(recursive=True):
            with suppress(psutil.Error, IndexError):
                if one.cmdline()[0].startswith("ray::MapWorker"):
                    found.add(one.pid)
        return found

    def kill(self, name: str) -> None:
        """As the power fails."""
        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def shutdown(self) -> None:
        """End all processes."""
        self.cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nodes:
    """Folder ``place`` with a checkout per node, and what only this node finds of packages."""

    def __init__(self, place: Path, storage: dict[str, str]) -> None:
        self.place, self.storage = place, storage

    def packages(self, node: str) -> Path:
        """Return the folder whose packages the node finds before all others."""
        folder = self.place / "packages" / node
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self, node: str) -> dict[str, str]:
        """Return the environment of a node."""
        paths = os.pathsep.join([str(self.packages(node)), python_path()])
        own = {"ATELIER_PROJECT": str(self.place / node), "PYTHONPATH": paths}
        return {**own, **PATIENT, "OMP_NUM_THREADS": "1", SLOW: str(self.slow), **self.storage}

    @property
    def slow(self) -> Path:
        """The file of ``SLOW``."""
        return self.place / "slow"


def python_path() -> str:
    """Return PYTHONPATH with this checkout's package, and the module that knows ``SLOW``."""
    paths = [str(ROOT / "src"), str(Path(__file__).parent / "slow_disk")]
    return os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])


def variables(**own: str) -> dict[str, str]:
    """Return the environment of a command that uses a cluster."""
    return {**bench.environment(), "PYTHONPATH": python_path(), **own}


def use(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the environment of this process, in which a command starts seconds sooner."""
    for name in set(os.environ) - set(variables):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


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
