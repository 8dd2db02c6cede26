"""Pictures of the baselines, and figures that are known beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops

from atelier.core import images
from atelier.core.baselines import BASELINES, COLOUR_TRANSFER, MADE, PAINTINGS_PASTED
from atelier.core.pairing import Job
from atelier.datasets.baselines import MAKERS, coloured, make_baselines, pasted
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.perceptual import content_distance, perceive
from atelier.metrics.reference import look_at
from atelier.nn.reinhard import to_lab
from support.nets import evaluator
from support.pictures import save

SIZE = (40, 32)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Four photographs, each with a painting of its own."""
    return [
        Job(
            f"p{n}",
            save(tmp_path / f"photos/p{n}.png", n, SIZE),
            save(tmp_path / f"paintings/s{n}.png", n + 10, SIZE),
        )
        for n in range(4)
    ]


def scores(jobs: list[Job], folder: Path, key: str) -> dict[str, float]:
    own = evaluator()
    reference = look_at(own, [job.style for job in jobs])
    styles = {job.photo: job.style.name for job in jobs}
    make_baselines(jobs, {key: folder})
    pairs = made_pairs(folder, jobs[0].content.parent, styles, sorted(reference.styles))
    return own.score(reference, pairs)


def test_every_baseline_with_pictures_of_its_own_has_a_maker() -> None:
    assert set(MADE) == set(MAKERS)
    assert list(BASELINES) == [one.key for one in BASELINES.values()]


def test_every_pair_is_read_once_for_all_baselines(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    real = images.read

    def read(path: Path) -> Image.Image:
        seen.append(path)
        return real(path)

    monkeypatch.setattr("atelier.datasets.baselines.images.read", read)
    make_baselines(jobs, {key: tmp_path / key for key in MADE})
    assert sorted(seen) == sorted([path for job in jobs for path in (job.content, job.style)])
    assert all((tmp_path / key / f"{job.photo}.png").is_file() for key in MADE for job in jobs)


@pytest.mark.slow
def test_pasted_paintings_are_the_paintings(jobs: list[Job], tmp_path: Path) -> None:
    found = scores(jobs, tmp_path / "pasted", PAINTINGS_PASTED)
    for job in jobs:
        both = images.read(tmp_path / f"pasted/{job.photo}.png"), images.read(job.style)
        assert ImageChops.difference(*both).getbbox() is None
    # every painting is used once, so that the two sets are the same
    assert found["frechet"] == pytest.approx(0, abs=1e-6)
    assert found["style"] == pytest.approx(0, abs=1e-6)
    networks = evaluator().networks.perceptual
    photos, paintings = (
        perceive(networks, images.load_batch(paths))
        for paths in ([j.content for j in jobs], [j.style for j in jobs])
    )
    expected = content_distance(paintings, photos).mean().item()
    assert found["content"] == pytest.approx(expected, rel=1e-5)
    assert expected > 0


def test_a_painting_of_another_size_takes_the_photographs() -> None:
    photo, painting = images.Image.new("RGB", (30, 20)), images.Image.new("RGB", (64, 64), "red")
    assert pasted(photo, painting).size == photo.size
    assert pasted(photo, photo) is photo


def test_transferred_colours_are_the_paintings_up_to_8_bits(jobs: list[Job]) -> None:
    for job in jobs:
        photo, painting = images.read(job.content), images.read(job.style)
        result = images.to_tensor(coloured(photo, painting))[None]
        found, wanted = (to_lab(x).mean((2, 3)) for x in (result, images.load(job.style)[None]))
        own = to_lab(images.load(job.content)[None]).mean((2, 3))
        assert (found - wanted).norm() < (own - wanted).norm() / 3  # what is clipped is missing


def test_colour_transfer_lies_between_the_photographs_and_the_paintings(
    jobs: list[Job], tmp_path: Path
) -> None:
    found = scores(jobs, tmp_path / "coloured", COLOUR_TRANSFER)
    again = scores(jobs, tmp_path / "again", COLOUR_TRANSFER)
    assert found == again
    worst = scores(jobs, tmp_path / "pasted", PAINTINGS_PASTED)["content"]
    assert 0 < found["content"] < worst
    assert torch.tensor(found["frechet"]) > 0
