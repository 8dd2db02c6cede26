"""Stages of one method with workers on two real nodes: the files of the stages without any."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from atelier.core.checkpoints import save_weights
from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.core.paths import CARD, WEIGHTS, Results
from atelier.methods.base import make
from atelier.methods.trained import Trained
from support.bench import edit, small_project
from support.scripts import script

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.filterwarnings("default")]

from atelier.cluster import ray_pieces, ray_tasks  # noqa: E402 - need Ray
from atelier.cluster.ray_cluster import connected  # noqa: E402
from support.cluster import RayCluster, python_path  # noqa: E402

NAME = "adain"
STAGES = ("stylize", "denoise", "evaluate")
KINDS = ("stylized", "denoised")
BROKEN = Path("results/prepared/photos/test/0.png")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batches of two pictures; ``alone`` has what the stages make without workers."""
    folder = small_project(tmp_path_factory.mktemp("stages") / "project", [NAME])
    edit(folder, "scales", "smoke", NAME, "stylize_batch", value=2)
    for step in ("denoise", "evaluate"):
        edit(folder, "scales", "smoke", step, "batch", value=2)
    edit(folder, "evaluate", value={})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("atelier.tracking.stage.spare_collection", lambda: None)
        for stage in ("prepare", "reference"):
            runpy.run_path(f"stages/{stage}.py", run_name="__main__")
        draw_weights(folder)
        for stage in STAGES:
            run(stage)
    return folder


def draw_weights(project: Path) -> None:
    """Write card and weights as of a training without steps."""
    block, model = Params.load().method(NAME), Results(project).model(NAME).folder
    method = make(block, NAME, seed=1, device="cpu")
    assert isinstance(method, Trained)
    save_weights(method.inference_networks.state_dict(), model / WEIGHTS)
    write_json(model / CARD, {"method": NAME, **method.card(), "parameters": block})


def run(stage: str) -> None:
    script(f"stages/{stage}.py").main(NAME)


def made(project: Path) -> dict[str, bytes]:
    """What the stages have written and DVC tracks."""
    results = Results(project)
    folders = (results.stylized(NAME).folder, results.denoised(NAME).folder)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [path for path in (results.metrics(NAME),) if path.is_file()]
    return {str(path.relative_to(results.folder)): path.read_bytes() for path in files}


@contextmanager
def other_machine() -> Iterator[str]:
    yield "no such file"


@contextmanager
def losing(cluster: RayCluster, node: str) -> Iterator[None]:
    """Kill the node once it has an actor it has not now: those of the stage before end late."""
    ended, before = Event(), cluster.actors(node)

    def kill() -> None:
        while not ended.wait(0.02):
            if cluster.actors(node) - before:
                cluster.kill(node)
                return

    thread = Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert node not in cluster.nodes


def test_two_nodes_of_which_one_is_lost_make_the_files_of_one_process(
    project: Path, cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, results = made(project), Results(project)
    for folder in (results.stylized(NAME).folder, results.denoised(NAME).folder):
        shutil.rmtree(folder)
    results.metrics(NAME).unlink()
    edit(project, "cluster_workers", value=2)
    monkeypatch.chdir(project)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setattr("atelier.metrics.elsewhere.BATCHES", 1)
    content = BROKEN.read_bytes()
    BROKEN.write_bytes(content[:-30])
    with pytest.raises(UserError, match=f"^{BROKEN}: .*\n1 of 2 parts are missing"):
        run("stylize")
    kept = {path: path.stat().st_mtime_ns for path in project.glob(".checkpoints/stylize-*/*.png")}
    assert len(kept) == 2
    BROKEN.write_bytes(content)
    run("stylize")
    monkeypatch.setattr(ray_pieces, "marked_folder", other_machine)
    run("denoise")
    with losing(cluster, "two"):
        run("evaluate")
    found = made(project)
    assert sorted(found) == sorted(expected)
    assert [name for name, content in expected.items() if found[name] != content] == []
    pictures = {f"{kind}/{NAME}/images/{n}.png" for kind in KINDS for n in range(4)}
    assert pictures | {f"metrics/{NAME}.json"} <= set(expected)


def test_a_node_that_was_lost_just_now_is_not_asked(cluster: RayCluster) -> None:
    """Ray takes it for alive until it has missed some of its checks."""
    cluster.add("three", {"PYTHONPATH": python_path()})
    with connected(cluster.address, asked_by="a test"):
        every = set(ray_tasks.facts_of_nodes())
        cluster.kill("three")
        others = set(ray_tasks.facts_of_nodes())
    assert "three" in every
    assert others == every - {"three"}
