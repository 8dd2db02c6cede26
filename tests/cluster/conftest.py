"""A server that speaks S3, a prepared project, and a Ray cluster of two nodes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from atelier.cluster.dvc import SHARED
from support.bench import edit, run, small_project, wait_for
from support.cluster import FEW, STEPS, Nodes, RayCluster, free_ports, variables
from support.git import commit
from support.tracking import TrackingServer

BUCKET = "bench"
REGION = "us-east-1"
KEYS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": REGION,
}


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """Environment variables with which S3 is a server of this process; it has ``bench``."""
    boto3 = pytest.importorskip("boto3", reason="dvc-s3 is not installed")
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    session = boto3.Session("any", "any", region_name=REGION)
    client = session.client("s3", endpoint_url=address)
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield {**KEYS, "AWS_ENDPOINT_URL": address}
    server.stop()


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest) -> dict[str, str]:
    """Environment of ``s3``; empty where its packages are not installed."""
    try:
        found: dict[str, str] = request.getfixturevalue("s3")
    except pytest.skip.Exception:
        return {}
    return found


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """MLflow's server with a database of SQLite; it starts beside what comes next."""
    server = TrackingServer(tmp_path_factory.mktemp("tracking"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the results of the stages that all methods share; to be copied.

    ``pair`` is for two processes, and ``alone`` for one with the same draws.
    """
    folder = small_project(tmp_path_factory.mktemp("prepared") / "project", ["gatys", "adain"])
    edit(folder, "scales", "smoke", "adain", "steps", value=STEPS)
    edit(folder, "scales", "smoke", "denoise", "on", value=["gatys"])
    for name, parent in (("pair", "adain"), ("alone", "pair")):
        edit(folder, "methods", name, value={"class": "adain", "extends": parent})
        for scale in ("smoke", "demo", "cpu", "full"):
            edit(folder, "scales", scale, name, value={"extends": parent})
    for name, setting in {"steps": FEW, "precision": "float32"}.items():
        edit(folder, "scales", "smoke", "pair", name, value=setting)
    edit(folder, "scales", "smoke", "alone", "accumulate", value=2)
    commit(folder)
    run(folder, "dvc", "repro", *SHARED)
    return folder


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str]) -> Nodes:
    """The nodes' checkouts and environments."""
    return Nodes(tmp_path_factory.mktemp("cluster"), storage)


@pytest.fixture
def slow_disk(nodes: Nodes) -> Iterator[Path]:
    """While this file exists, a training takes long enough to be stopped halfway."""
    nodes.slow.touch()
    yield nodes.slow
    nodes.slow.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def shared_cluster(nodes: Nodes) -> Iterator[RayCluster]:
    """A head and a node with a core each, started once as that takes seconds."""
    both = nodes.environment("training")
    made = RayCluster({"two": both}, cores=1, environment=both)
    yield made
    made.shutdown()


@pytest.fixture
def cluster(shared_cluster: RayCluster, nodes: Nodes) -> RayCluster:
    """The two, also after a test that has killed one; they share the project ``training``."""
    if not shared_cluster.nodes:
        shared_cluster.add("two", nodes.environment("training"))
    return shared_cluster


@pytest.fixture
def entrance(cluster: RayCluster, tmp_path: Path) -> Iterator[str]:
    """Address of Ray's server for processes outside of the cluster."""
    (port,) = free_ports(1)
    where = ["--address", cluster.address, "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "ray.util.client.server", "--mode", "legacy", *where]
    with (tmp_path / "server.txt").open("w") as out:
        server = subprocess.Popen(command, env=variables(), stdout=out, stderr=out)

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_for(listens, server, 300)
        yield f"ray://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
