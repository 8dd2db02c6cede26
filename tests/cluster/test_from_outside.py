"""``--ray ray://…``: pictures through a cluster's entrance, where Ray Data does not work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from atelier.cluster import ray_cluster
from atelier.core.config import UserError
from support.bench import ROOT, environment, wait_for
from support.cli import atelier
from support.models import project
from support.pictures import save

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("default")]

from support.cluster import RayCluster, free_ports  # noqa: E402 - needs Ray


def paths() -> str:
    return os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])


@pytest.fixture
def entrance(cluster: RayCluster, tmp_path: Path) -> Iterator[str]:
    """Address of Ray's server for processes outside of the cluster."""
    (port,) = free_ports(1)
    where = ["--address", cluster.address, "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "ray.util.client.server", "--mode", "legacy", *where]
    with (tmp_path / "server.txt").open("w") as out:
        env = {**environment(), "PYTHONPATH": paths()}
        server = subprocess.Popen(command, env=env, stdout=out, stderr=out)

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


@pytest.mark.slow
def test_pictures_from_outside_equal_the_local_run(
    entrance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project(tmp_path / "project", "cut"))
    for n in range(3):
        save(Path(f"in/{n}.png"), seed=n)
    Path("in/broken.png").write_text("no picture")
    command = ["stylize", str(Path("in").absolute()), "-m", "cut", "-o"]
    assert atelier(monkeypatch, *command, "here") == 1
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "atelier.cli.main",
            *command,
            f"{Path.cwd()}/out",
            "--ray",
            entrance,
        ],
        env={**environment(), "PYTHONPATH": paths()},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"skipped: {Path.cwd()}/in/broken.png: " in said
    made = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert made == {path.name: path.read_bytes() for path in Path("here").iterdir()}
    assert len(made) == 3


def test_a_token_is_sent_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (ray_cluster.MODE, *ray_cluster.TOKENS):
        monkeypatch.setenv(name, "")  # so that it is as before at the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    def asked(address: str) -> str:
        monkeypatch.setattr("ray.init", refuse)
        with pytest.raises(UserError) as failed, ray_cluster.connected(address):
            pass
        return str(failed.value)

    def refuse(address: str, **_: object) -> None:
        raise ConnectionError(f"{address}: mode {os.environ.get(ray_cluster.MODE)}")

    assert asked("10.0.0.1:1").endswith("(10.0.0.1:1: mode None)")
    hint = "if it asks for a token, copy its machine's ~/.ray/auth_token here"
    assert asked("ray://h:1").endswith(f"(ray://h:1: mode None); {hint}")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("secret")
    assert asked("ray://h:1").endswith("(ray://h:1: mode token)")
