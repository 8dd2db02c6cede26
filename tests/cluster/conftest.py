"""A server that speaks S3, and a Ray cluster of two nodes, for all files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster import Nodes, RayCluster, free_ports

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
def nodes(tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str]) -> Nodes:
    """The nodes' checkouts and environments."""
    return Nodes(tmp_path_factory.mktemp("cluster"), storage)


@pytest.fixture(scope="session")
def shared_cluster(nodes: Nodes) -> Iterator[RayCluster]:
    """A cluster, started once as that takes seconds; tests add and kill nodes."""
    made = RayCluster({node: nodes.environment(node) for node in ("one", "two")})
    yield made
    made.shutdown()


@pytest.fixture
def cluster(shared_cluster: RayCluster, nodes: Nodes) -> RayCluster:
    """The cluster with at least two nodes."""
    for node in ("one", "two"):
        if len(shared_cluster.nodes) < 2:
            shared_cluster.add(node, nodes.environment(node))
    return shared_cluster
