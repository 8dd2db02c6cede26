"""Snapshots of an optimisation: of which steps and photographs, and that they change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from atelier.core import images
from atelier.core.files import read_json
from atelier.core.pairing import Job
from atelier.engine import stylize
from atelier.engine.snapshots import IterateSnapshots, copy_snapshots, snapshot_steps
from atelier.methods.base import Iterate, Method, make
from support.pictures import save

GATYS = {"class": "gatys", "features": "mini", "content_layers": ["relu2_1"], "init": "noise"}
GATYS |= {"style_layers": ["relu1_1"], "optimizer": "adam", "lr": 0.05, "steps": 4, "batch": 2}
LBFGS = {**GATYS, "optimizer": "lbfgs", "lr": 1.0}
STROTSS = {"class": "strotss", "features": "mini", "layers": ["relu1_1", "relu2_1"], "batch": 2}
STROTSS |= {"coarsest": 32, "samples": 16, "steps": 2, "lr": 4.0e-3, "last_lr": 4.0e-3}
NNST = {"class": "nnst", "features": "mini", "layers": ["relu1_1"], "rotate": False, "batch": 2}
NNST |= {"coarsest": 32, "steps": 1, "split_steps": 1}
IDS = ("adam", "lbfgs", "strotss", "nnst")


def ignore(number: int, iterate: Iterate) -> None:
    """Watches nothing."""


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    style = save(tmp_path / "p.png", 9, (48, 48))
    return [Job(f"p{n}", save(tmp_path / f"p{n}.png", n, (64, 48)), style) for n in range(3)]


def made(method: Method, jobs: list[Job], kept: Path, count: int) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    shown = IterateSnapshots(jobs[:2], count, lambda photo, step, _: seen.append((photo, step)))
    stylize.stylize(method, jobs, kept, ignore, "test", shown)
    return seen


def test_they_are_evenly_spread_and_end_with_the_result() -> None:
    assert snapshot_steps(1000, 20) == set(range(50, 1001, 50))
    assert snapshot_steps(7, 3) == {2, 5, 7}
    assert snapshot_steps(7, 0) == set()


@pytest.mark.parametrize("block", [GATYS, LBFGS, STROTSS, NNST], ids=IDS)
def test_results_are_the_same_bytes_with_and_without(
    block: dict[str, object], jobs: list[Job], tmp_path: Path
) -> None:
    method = make(block, "methods.x", seed=1, device="cpu")
    assert made(method, jobs, tmp_path / "none", 0) == []
    seen = made(method, jobs, tmp_path / "some", 2)
    total = method.steps(48, 64)
    assert seen == [(p, step) for step in (total // 2, total) for p in ("p0", "p1")]
    for job in jobs:
        one, other = (tmp_path / which / f"{job.photo}.png" for which in ("none", "some"))
        assert one.read_bytes() == other.read_bytes()
    curves = [read_json(tmp_path / w / "batch-00000.json")["curves"] for w in ("none", "some")]
    assert curves[0] == curves[1]
    copy_snapshots(tmp_path / "some", tmp_path / "out")
    copy_snapshots(tmp_path / "none", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    last = tmp_path / "out/p1" / f"step {total:06d}.png"
    assert last.read_bytes() == (tmp_path / "some/p1.png").read_bytes()
    assert not (tmp_path / "out/p2").exists(), "a photograph that is not shown"


class Breaks(Method):
    """Passes through a picture that is not finite, like L-BFGS; stops once if it is told to."""

    kind = "optimisation"
    batch = 4
    stop = False

    @classmethod
    def build(cls, settings: object, *, seed: int, device: str) -> Breaks:  # noqa: ARG003
        return cls()

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:  # noqa: ARG002
        yield Iterate(1, 3, content)
        if self.stop:
            raise KeyboardInterrupt
        yield Iterate(2, 3, torch.full_like(content, torch.nan))
        yield Iterate(3, 3, content)


def test_an_iterate_that_is_not_finite_is_left_out(jobs: list[Job], tmp_path: Path) -> None:
    assert made(Breaks(), jobs, tmp_path / "k", 3) == [(p, n) for n in (1, 3) for p in ("p0", "p1")]


def test_what_a_stopped_run_left_of_a_batch_is_removed(jobs: list[Job], tmp_path: Path) -> None:
    method, kept = Breaks(), tmp_path / "kept"
    method.stop = True
    with pytest.raises(KeyboardInterrupt):
        made(method, jobs, kept, 3)
    assert (kept / "snapshots/p0/step 000001.png").is_file()
    method.stop = False
    assert made(method, jobs, kept, 1) == [("p0", 3), ("p1", 3)]
    assert [path.name for path in (kept / "snapshots/p0").iterdir()] == ["step 000003.png"]
    torch.testing.assert_close(
        images.load(kept / "snapshots/p0/step 000003.png"), images.load(jobs[0].content)
    )
