"""Batches, resuming, checkpoints and curves, with a method that costs nothing."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import torch
from torch import Tensor

from atelier.core import images, pairing, resume
from atelier.core.pairing import Job
from atelier.engine import curves, stylize
from atelier.engine.stylize import BatchRecord
from atelier.methods.base import Iterate, Kind, Method
from support.pictures import save

CODE = "a digest"


class Blend(Method):
    """Mixes content and style in three steps; remembers what it was given."""

    kind: ClassVar[Kind] = "optimisation"
    batch = 2

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    @classmethod
    def build(cls, settings: Any, *, seed: int, device: str) -> Self:  # noqa: ARG003
        return cls()

    def steps(self, height: int, width: int) -> int:  # noqa: ARG002
        return 3

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        self.asked.append(tuple(content.shape))
        for step in range(1, 4):
            image = content + (style.mean((2, 3), keepdim=True) - content) * step / 4
            yield Iterate(step, 3, image, {"total": content.mean((1, 2, 3)) / step})


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Three pictures of one size around two of another: three batches of 2, 1 and 2."""
    folder, sizes = tmp_path / "prepared", [(40, 32), (32, 40), (40, 32), (32, 40), (40, 32)]
    style = save(folder / "paintings/p.png", 9, (24, 24))
    return [
        Job(f"photo_{n}", save(folder / f"photos/photo_{n}.png", n, size), style)
        for n, size in enumerate(sizes)
    ]


def ignore(number: int, iterate: Iterate) -> None:
    """Watches nothing."""


def run(method: Method, jobs: list[Job], kept: Path, watch: Any = ignore) -> list[BatchRecord]:
    return stylize.stylize(method, jobs, kept, watch, "test")


def names(batch: list[Job]) -> list[str]:
    return [job.photo for job in batch]


def test_a_batch_has_one_size_and_every_job_is_in_one(jobs: list[Job]) -> None:
    found = [names(batch) for batch in stylize.batches(jobs, 2)]
    assert found == [["photo_1", "photo_3"], ["photo_0", "photo_2"], ["photo_4"]]
    assert [len(batch) for batch in stylize.batches(jobs, 16)] == [2, 3]


def test_styles_of_another_size_are_another_batch(jobs: list[Job], tmp_path: Path) -> None:
    other = Job("extra", jobs[0].content, save(tmp_path / "wide.png", 5, (48, 24)))
    assert ["extra"] in [names(batch) for batch in stylize.batches([*jobs, other], 16)]


def test_jobs_come_from_the_pairing(tmp_path: Path) -> None:
    (tmp_path / "pairing.json").write_text(json.dumps({"b": "q.png", "a": "p.png"}))
    photos, paintings = tmp_path / "photos/test", tmp_path / "paintings"
    assert pairing.list_jobs(tmp_path) == [
        Job("a", photos / "a.png", paintings / "p.png"),
        Job("b", photos / "b.png", paintings / "q.png"),
    ]


def test_pictures_records_and_curves(jobs: list[Job], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = run(Blend(), jobs, tmp_path / "kept", lambda n, it: seen.append((n, it.step)))
    assert seen == [(n, step) for n in range(3) for step in (1, 2, 3)]
    for job in jobs:
        content, style = images.load(job.content), images.load(job.style)
        expected = content + (style.mean((1, 2), keepdim=True) - content) * 0.75
        written = images.load(tmp_path / "kept" / f"{job.photo}.png")
        torch.testing.assert_close(written, expected, rtol=0, atol=0.5 / 255 + 1e-6)
    means = [images.load(job.content).mean().item() for job in jobs]
    assert found[0].photos == ["photo_1", "photo_3"]
    mean = (means[1] + means[3]) / 2
    assert found[0].curves["total"] == pytest.approx([mean, mean / 2, mean / 3])
    assert all(record.seconds >= 0 for record in found)


@pytest.mark.parametrize("stop_at", [(1, 2), (1, 1), (2, 3)])
def test_a_stopped_run_redoes_only_the_rest(
    jobs: list[Job],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    stop_at: tuple[int, int],
) -> None:
    def stop(number: int, iterate: Iterate) -> None:
        if (number, iterate.step) == stop_at:
            raise KeyboardInterrupt

    kept, whole = tmp_path / "kept", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        run(Blend(), jobs, kept, stop)
    finished = stop_at[0]
    assert len(list(kept.glob("batch-*.json"))) == finished
    before = {path: path.stat().st_mtime_ns for path in kept.glob("*.png")}
    second, uninterrupted = Blend(), Blend()
    caplog.set_level(logging.INFO, "atelier")
    records = run(second, jobs, kept)
    assert f"{finished} of 3 batches are finished" in caplog.text
    assert len(second.asked) == 3 - finished
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    expected = run(uninterrupted, jobs, whole)
    assert [(r.photos, r.curves) for r in records] == [(r.photos, r.curves) for r in expected]
    for job in jobs:
        one, other = (folder / f"{job.photo}.png" for folder in (kept, whole))
        assert one.read_bytes() == other.read_bytes()


def test_the_record_comes_after_all_pictures(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, save_png = tmp_path / "kept", images.save_png

    def full_disk(image: Tensor, path: Path) -> None:
        if path.stem == "photo_3":
            raise OSError(28, "No space left on device")
        save_png(image, path)

    monkeypatch.setattr(images, "save_png", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run(Blend(), jobs, kept)
    assert (kept / "photo_1.png").is_file()
    assert not list(kept.glob("batch-*.json"))
    monkeypatch.setattr(images, "save_png", save_png)
    again = Blend()
    run(again, jobs, kept)
    assert len(again.asked) == 3


def test_a_finished_run_does_nothing_again(jobs: list[Job], tmp_path: Path) -> None:
    first, again = Blend(), Blend()
    assert run(first, jobs, tmp_path) == run(again, jobs, tmp_path)
    assert len(first.asked) == 3
    assert again.asked == []


def test_pictures_are_written_and_the_checkpoint_is_removed(
    jobs: list[Job], tmp_path: Path
) -> None:
    kept, out = tmp_path / "kept", tmp_path / "out"
    run(Blend(), jobs, kept)
    stylize.write_outputs(jobs, kept, out)
    resume.drop(kept)
    assert sorted(path.name for path in out.iterdir()) == [f"photo_{n}.png" for n in range(5)]
    assert not kept.exists()
    resume.drop(kept)


def test_a_checkpoint_belongs_to_its_key_and_stale_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = resume.checkpoint_folder("stylize-gatys", {"steps": 1, "lr": 2}, CODE)
    (first / "batch-00000.json").write_text("{}")
    other = resume.checkpoint_folder("stylize-gatys_lbfgs", {"steps": 1}, CODE)
    assert resume.checkpoint_folder("stylize-gatys", {"lr": 2, "steps": 1}, CODE) == first
    assert (first / "batch-00000.json").is_file()
    changed = resume.checkpoint_folder("stylize-gatys", {"steps": 2, "lr": 2}, CODE)
    assert changed != first
    assert changed.is_dir()
    assert not first.exists()
    assert other.is_dir(), "another method's checkpoint is not this one's to drop"


def test_a_checkpoint_belongs_to_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = resume.checkpoint_folder("stylize-gatys", {}, CODE)
    assert resume.checkpoint_folder("stylize-gatys", {}, "other code") != first


def test_the_first_batch_does_not_count_as_it_warms_up() -> None:
    first, other = BatchRecord(["a"], 9.0, {}), BatchRecord(["b", "c"], 1.0, {})
    assert stylize.seconds_per_picture([first, other, other]) == 0.5
    assert stylize.seconds_per_picture([first]) == 9.0


def test_seconds_are_of_the_method_alone(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that only files and whoever looks on move."""
    clock, load, save_png = [0.0], images.load_batch, images.save_png

    def slow(call: Any) -> Any:
        def called(*given: Any) -> Any:
            clock[0] += 100
            return call(*given)

        return called

    monkeypatch.setattr(stylize.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(images, "load_batch", slow(load))
    monkeypatch.setattr(images, "save_png", slow(save_png))
    records = run(Blend(), jobs, tmp_path / "kept", slow(ignore))
    assert [record.seconds for record in records] == [0.0, 0.0, 0.0]
    assert clock[0] > 1000


def test_curves_are_averaged_over_pictures_not_batches() -> None:
    records = [
        BatchRecord(["a", "b", "c"], 1.0, {"total": [4.0, 2.0, 1.0]}),
        BatchRecord(["d"], 1.0, {"total": [8.0, 6.0]}),
    ]
    assert stylize.mean_curves(records) == {"total": [5.0, 3.0]}
    assert stylize.mean_curves([]) == {}


def test_curves_as_csv(tmp_path: Path) -> None:
    curves.write_curves({"total": [3.0, 2.5], "style": [1.0, 0.5]}, tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["step", "total", "style"], ["1", "3.0", "1.0"], ["2", "2.5", "0.5"]]
    curves.write_curves({}, tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().split() == ["step"]
