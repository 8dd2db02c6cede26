"""The remote that machines share: which counts as one, what a node's settings become."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from atelier.cluster.dvc import Dvc
from atelier.cluster.ray_cluster import connected
from atelier.cluster.remote import Remote, shared_remote
from atelier.core.config import UserError

KNOWN = """\
['remote "shared"']
    access_key_id = of this node
    url = /mnt/elsewhere
[cache]
    dir = /scratch/cache
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    dvc(tmp_path / "project", "init", "-q", "--no-scm")
    return tmp_path / "project"


def dvc(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout


def add(project: Path, url: str) -> Remote:
    dvc(project, "remote", "add", "-q", "--force", "--default", "shared", url)
    return shared_remote(Dvc(project))


@pytest.mark.slow
def test_a_remotes_address_is_passed_on_and_no_key_is(project: Path) -> None:
    dvc(project, "remote", "add", "-q", "--default", "shared", "s3://bucket/path")
    dvc(project, "remote", "modify", "-q", "shared", "endpointurl", "http://127.0.0.1:9")
    dvc(project, "remote", "modify", "-q", "--local", "shared", "secret_access_key", "hush")
    remote = shared_remote(Dvc(project))
    assert remote.options == {"url": "s3://bucket/path", "endpointurl": "http://127.0.0.1:9"}


@pytest.mark.slow
def test_a_folder_beside_the_project_is_shared_and_others_are_not(project: Path) -> None:
    with pytest.raises(UserError, match=r"no default remote; name one .*dvc remote add"):
        shared_remote(Dvc(project))
    assert add(project, "../beside").options["url"] == str(project.parent / "beside")
    with pytest.raises(UserError, match="`shared` lies within the project"):
        add(project, ".sample")
    with pytest.raises(UserError, match="`shared` is HTTP: no run cache there"):
        add(project, "https://host/path")


@pytest.mark.slow
def test_a_nodes_own_keys_places_and_cache_count(project: Path, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(KNOWN)
    remote = Remote("shared", {"url": "s3://bucket/path", "region": "x"})
    remote.write(project, tmp_path / "cache", tmp_path / "known")
    settings = dvc(project, "config", "--list").splitlines()
    assert {
        "core.remote=shared",
        "remote.shared.url=/mnt/elsewhere",
        "remote.shared.region=x",
        "remote.shared.access_key_id=of this node",
        "cache.dir=/scratch/cache",
    } <= set(settings)
    remote.write(project, tmp_path / "cache", tmp_path / "none")
    settings = dvc(project, "config", "--list").splitlines()
    assert {"remote.shared.url=s3://bucket/path", f"cache.dir={tmp_path}/cache"} <= set(settings)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with (
        pytest.raises(UserError, match=r"--ray needs Ray; install it: pip install -e '\.\[cluster"),
        connected("local"),
    ):
        pass


@pytest.mark.slow
def test_the_head_loads_no_torch() -> None:
    """It would take longer than to connect, and the head itself computes nothing."""
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    modules = (
        "atelier.cli.main, atelier.cli.mend, atelier.cli.fan_out_cluster, atelier.cluster.head"
    )
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
