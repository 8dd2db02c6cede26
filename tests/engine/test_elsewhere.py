"""Batches made by workers equal those made here; what is there is not made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atelier.core.config import Params, UserError
from atelier.core.pairing import Job
from atelier.core.paths import SNAPSHOTS
from atelier.engine.elsewhere import WHOSE, Elsewhere, SavedMethod
from atelier.engine.snapshots import IterateSnapshots
from atelier.engine.stylize import BatchRecord, cost, stylize
from atelier.methods.base import Method, make
from support.models import METHODS, project
from support.pictures import save
from support.workers import OneWorker

NAME = "adain"
BLOCK = {**METHODS[NAME], "stylize_batch": 2}
PHOTOS = 5
GATYS = {"class": "gatys", "features": "mini", "content_layers": ["relu2_1"], "batch": 2}
GATYS |= {"style_layers": ["relu1_1"], "optimizer": "adam", "lr": 0.05, "steps": 2, "init": "noise"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project(tmp_path, NAME))
    return tmp_path


@pytest.fixture
def jobs(root: Path) -> list[Job]:
    """A photograph and a painting of the same name; the last pictures have another size."""
    sizes = [(64, 48)] * (PHOTOS - 1) + [(48, 64)]
    return [
        Job(f"{n}", save(root / f"photos/{n}.png", n, size), save(root / f"paintings/{n}.png", 9))
        for n, size in enumerate(sizes)
    ]


def elsewhere(root: Path, workers: OneWorker, **more: Any) -> tuple[Method[Any], Elsewhere]:
    params = Params.load()
    saved = SavedMethod.read(params, NAME, {**BLOCK, **more}, root / "results/models" / NAME)
    method = saved("cpu")
    return method, Elsewhere(workers, params, saved, method.card())


def run(
    root: Path, jobs: list[Job], kept: str, workers: OneWorker | None = None
) -> list[BatchRecord]:
    method, pool = elsewhere(root, workers or OneWorker())
    (root / kept).mkdir(exist_ok=True)
    make = pool.make if workers else None
    return stylize(method, jobs, Path(kept), lambda *_: None, "test", elsewhere=make)


def pictures(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_workers_make_the_same_bytes(root: Path, jobs: list[Job]) -> None:
    here, there = run(root, jobs, "here"), run(root, jobs, "there", OneWorker())
    assert pictures(root / "here") == pictures(root / "there")
    assert len(pictures(root / "here")) == PHOTOS
    assert [one.photos for one in here] == [one.photos for one in there]
    assert {one.device for one in there} == {one.device + WHOSE for one in here}


def test_an_interrupted_stage_makes_what_is_left(root: Path, jobs: list[Job]) -> None:
    first, second, third = OneWorker(most=1), OneWorker(), OneWorker()
    with pytest.raises(KeyboardInterrupt):
        run(root, jobs, "kept", first)
    run(root, jobs, "kept", second)
    assert (first.made, second.made) == ([0], [1, 2])
    assert len(run(root, jobs, "kept", third)) == 3
    assert third.made == []


def test_a_picture_that_cannot_be_read_is_named_and_the_rest_made(
    root: Path, jobs: list[Job]
) -> None:
    run(root, jobs, "whole", OneWorker())
    content = jobs[0].content.read_bytes()
    jobs[0].content.write_bytes(content[:-30])
    workers = OneWorker()
    with pytest.raises(UserError, match=r"0\.png: .*\n1 of 3 parts are missing; the others"):
        run(root, jobs, "kept", workers)
    assert len(workers.made) == 2
    jobs[0].content.write_bytes(content)
    run(root, jobs, "kept", again := OneWorker())
    assert len(again.made) == 1
    assert pictures(root / "kept") == pictures(root / "whole")


def gatys(device: str) -> Method[Any]:
    return make(GATYS, "methods.gatys", seed=1, device=device)


def test_snapshots_of_an_optimisation_are_the_workers_to_write(root: Path, jobs: list[Job]) -> None:
    here = IterateSnapshots(jobs[1:3], 2, lambda *_: None)  # a function that cannot be sent
    pool = Elsewhere(OneWorker(), Params.load(), gatys, gatys("cpu").card(), here).make
    for kept, way in (("whole", None), ("kept", pool)):
        (root / kept).mkdir()
        stylize(gatys("cpu"), jobs, Path(kept), lambda *_: None, "test", here, way)
    found, wanted = (
        {p.relative_to(root / kept): p.read_bytes() for p in (root / kept).rglob("*.png")}
        for kept in ("kept", "whole")
    )
    assert found == wanted
    assert len([path for path in found if path.parts[0] == SNAPSHOTS]) == 4


def test_a_worker_that_computes_in_another_precision_is_refused(root: Path) -> None:
    method, pool = elsewhere(root, OneWorker())
    other = replace(pool, card={**method.card(), "apply_precision": "bfloat16"})
    with pytest.raises(UserError, match=r"differs from this machine: .*here .*bfloat16"):
        other.make({0: []}, root, "test")


def test_seconds_are_those_of_one_worker_without_the_first_batch_and_memory_is_the_largest() -> (
    None
):
    records = [
        BatchRecord(["a", "b"], 3.0, {}, "GPU", 10.0),
        BatchRecord(["c"], 3.0, {}, "CPU", 20.0),
        BatchRecord(["d"], 2.0, {}, "GPU", 5.0),
    ]
    assert cost(records) == {
        "seconds_per_picture": 2.5,
        "peak_memory_mib": 20.0,
        "device": "CPU; GPU",
    }
