"""A server that speaks S3, for remotes and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster import free_ports

BUCKET = "bench"
REGION = "us-east-1"
KEYS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": REGION,
}


@pytest.fixture(scope="module")
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
