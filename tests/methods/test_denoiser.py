"""Pictures through the denoiser in the shape of a method: files in, files out, resumable."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from atelier.core import images
from atelier.core.records import digest_of
from atelier.engine.stylize import stylize, write_outputs
from atelier.methods.zsn2n import Denoiser, DenoiseSettings, denoise, denoise_jobs
from support.pictures import save

SETTINGS = DenoiseSettings.build({"width": 4, "steps": 12, "batch": 2}, "denoise")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    sizes = [(16, 12), (16, 12), (16, 12), (12, 16)]
    return [save(tmp_path / "in" / f"{n}.png", n, size) for n, size in enumerate(sizes)]


def method() -> Denoiser:
    return Denoiser.build(SETTINGS, seed=3, device="cpu")


def test_files_become_what_each_is_alone(pictures: list[Path], tmp_path: Path) -> None:
    jobs, kept = denoise_jobs(pictures), tmp_path / "kept"
    records = stylize(method(), jobs, kept, lambda *_: None, "denoise")
    write_outputs(jobs, kept, tmp_path / "out")
    for path in pictures:
        *_, alone = denoise(images.load(path)[None], SETTINGS, [3])
        expected = images.to_image(alone.image)
        assert images.read(tmp_path / "out" / path.name).tobytes() == expected.tobytes()
    assert sorted(name for record in records for name in record.photos) == ["0", "1", "2", "3"]


def test_a_seeded_choice_of_the_pictures(pictures: list[Path]) -> None:
    chosen = [[job.photo for job in denoise_jobs(pictures, count, 1)] for count in (1, 2, 3, 9)]
    assert [len(names) for names in chosen] == [1, 2, 3, 4]
    assert all(set(few) < set(more) for few, more in pairwise(chosen))
    others = {tuple(job.photo for job in denoise_jobs(pictures, 2, seed)) for seed in range(9)}
    assert len(others) > 1


@pytest.mark.parametrize(
    ("on", "wanted"),
    [("all", True), ("none", False), (["one"], True), (["cut"], False), ([], False)],
)
def test_the_entries_that_are_denoised(on: object, *, wanted: bool) -> None:
    """An entry may be called `one`, which is a part of `none`."""
    block = {"on": on, "steps": 3, "workers": 2}  # the last changes no picture
    settings = DenoiseSettings.build(block, "denoise")
    assert settings.deciding(block, {"one"}) == ({"steps": 3} if wanted else None)


def test_what_is_there_is_not_done_again(pictures: list[Path], tmp_path: Path) -> None:
    jobs, kept, seen = denoise_jobs(pictures), tmp_path / "kept", set()
    stylize(method(), jobs, kept, lambda n, _: seen.add(n), "denoise")
    assert len(seen) == 3
    stylize(method(), jobs, kept, lambda *_: pytest.fail("a batch was done again"), "denoise")


@pytest.mark.parametrize("steps", [1, 4, 5, 12, 13])
def test_the_iterates_are_as_many_as_announced(steps: int) -> None:
    settings = SETTINGS.model_copy(update={"steps": steps})
    denoiser = Denoiser.build(settings, seed=0, device="cpu")
    picture = torch.rand(1, 3, 8, 8)
    seen = [it.step for it in denoiser.iterates(picture, picture)]
    assert len(seen) == denoiser.steps(8, 8)
    assert denoiser.places(len(seen)) == seen


def test_the_digest_sees_names_and_pixels(pictures: list[Path]) -> None:
    before = digest_of(pictures)
    assert digest_of(pictures) == before != digest_of(pictures[:3])
    save(pictures[0], 9, (16, 12))
    assert digest_of(pictures) != before
