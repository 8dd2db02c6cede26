"""Batches divided among processes: the same results, resumed, and mistakes told."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from atelier.core.config import UserError
from atelier.core.pairing import Job
from atelier.engine.processes import Processes
from atelier.engine.stylize import BatchRecord, stylize
from atelier.methods.zsn2n import Denoiser, DenoiseSettings, denoise_jobs
from support.pictures import save

SETTINGS = DenoiseSettings.build({"width": 4, "steps": 6, "batch": 2}, "denoise")


@pytest.fixture(scope="module", autouse=True)
def forks() -> Iterator[None]:
    """Let the processes be forks of one that has imported what they need, which takes seconds.

    What they are sent is pickled as for those that start anew (tests/datasets/test_parallel.py).
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch._dynamo", "atelier.engine.processes", Denoiser.__module__]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda _: context)
        yield
    forkserver._forkserver._stop()


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    sizes = [(16, 12)] * 3 + [(12, 16)]
    return denoise_jobs([save(tmp_path / "in" / f"{n}.png", n, s) for n, s in enumerate(sizes)])


def method(**changes: object) -> Denoiser:
    return Denoiser.build(SETTINGS.model_copy(update=changes), seed=3, device="cpu")


def by_two(one: Denoiser, jobs: list[Job], kept: Path) -> list[BatchRecord]:
    pool = Processes(one, 2).make
    return stylize(one, jobs, kept, lambda *_: None, "denoise", elsewhere=pool)


def pixels(kept: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in kept.glob("*.png")}


@pytest.mark.slow
def test_two_processes_do_what_one_does_bit_for_bit(
    jobs: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = stylize(method(), jobs, tmp_path / "alone", lambda *_: None, "denoise")
        both = by_two(method(), jobs, tmp_path / "both")
    finally:
        torch.set_num_threads(threads)
    assert pixels(tmp_path / "both") == pixels(tmp_path / "alone")
    assert len(pixels(tmp_path / "both")) == len(jobs)
    assert [record.curves for record in both] == [record.curves for record in alone]
    assert [record.photos for record in both] == [record.photos for record in alone]
    assert "denoise: 3/3 in" in capsys.readouterr().err, "batches, not iterates"


@pytest.mark.slow
def test_only_what_is_left_is_done(jobs: list[Job], tmp_path: Path) -> None:
    """A process of each batch would write its record anew."""
    by_two(method(), jobs, tmp_path)
    (tmp_path / "batch-00000.json").unlink()
    (tmp_path / "batch-00002.json").unlink()
    before = (tmp_path / "batch-00001.json").stat().st_mtime_ns
    records = by_two(method(), jobs, tmp_path)
    assert (tmp_path / "batch-00001.json").stat().st_mtime_ns == before
    assert sorted(name for record in records for name in record.photos) == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_process_tells_a_mistake_in_one_sentence(jobs: list[Job], tmp_path: Path) -> None:
    diverging = method(lr=1e30, steps=20)
    with pytest.raises(
        UserError, match=r"denoise: the loss is not finite .*: lower lr \(the batch"
    ):
        by_two(diverging, jobs, tmp_path)


def test_one_batch_needs_no_process(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.datasets.parallel._pool", lambda _: pytest.fail("a process"))
    records = by_two(method(), jobs[:2], tmp_path)
    assert [record.photos for record in records] == [["0", "1"]]
