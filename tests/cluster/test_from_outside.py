"""``--ray ray://…``: pictures through a cluster's entrance, where Ray Data does not work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atelier.cluster import ray_cluster
from atelier.core.config import UserError
from support.cli import atelier
from support.models import project
from support.pictures import save

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("default")]

from support.cluster import variables  # noqa: E402 - needs Ray


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
        env=variables(),
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


def test_a_stage_outside_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_cluster.ADDRESS, "ray://h:1")
    said = r"nodes: 2: RAY_ADDRESS=ray://h:1: this machine has to be one .* `atelier fan-out --ray`"
    with pytest.raises(UserError, match=said):
        ray_cluster.inside_address("params.yaml: nodes: 2")


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
