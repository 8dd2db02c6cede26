"""The embedded sample: the same every time, varied, and painted where it should be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.pairing import choose
from atelier.datasets.synthetic import copy_photographs, render_sample
from atelier.datasets.synthetic.render import (
    KINDS,
    LANDSCAPES,
    PAINTINGS,
    REAL,
    render_one,
    write_one,
)
from atelier.datasets.synthetic.strokes import Brush, Canvas

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
Picture = NDArray[Any]
COUNTS = {"train": 2, "test": 1, "paintings": 2}


@cache
def small(seed: int, kind: int) -> Picture:
    """The first picture of a kind, at 64 px."""
    return render_one(seed, 64, kind, 0)


def read(path: Path) -> Picture:
    return np.asarray(Image.open(path))


def structure(picture: Picture, window: float = 2.5) -> tuple[Picture, Picture]:
    """Coherence (0 isotropic, 1 one direction) and energy of what is finer than about 12 px."""
    grey = ndimage.gaussian_filter(picture.mean(-1).astype(np.float64), 1.0)
    grey -= ndimage.gaussian_filter(grey, 6.0)
    dy, dx = np.gradient(grey)
    xx, yy, xy = (ndimage.gaussian_filter(p, window) for p in (dx * dx, dy * dy, dx * dy))
    energy = xx + yy + 1e-12
    return np.hypot(xx - yy, 2 * xy) / energy, energy


def coherence(picture: Picture, window: float = 2.5) -> float:
    """Mean coherence, every pixel counting alike."""
    return float(structure(picture, window)[0].mean())


def directed_contrast(picture: Picture) -> float:
    """Contrast that has a direction: isotropic noise and smooth slopes both score low."""
    own, energy = structure(picture)
    return float((own * np.sqrt(energy)).mean())


def thumbnail(picture: Picture) -> Picture:
    return ndimage.zoom(picture.astype(np.float64), (8 / 128, 8 / 128, 1), order=1).ravel()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A sample of ``COUNTS``: its folder and its files."""
    folder = tmp_path_factory.mktemp("few")
    return folder, render_sample(folder, size=64, **COUNTS)


@pytest.fixture(scope="module")
def pictures() -> tuple[list[Picture], list[Picture]]:
    """One landscape and one painting of every recipe, at 128 px."""
    photos = [render_one(2026, 128, 0, i) for i in range(len(LANDSCAPES))]
    painted = [render_one(2026, 128, 2, i) for i in range(len(PAINTINGS))]
    return photos, painted


def test_names_counts_and_sizes(few: tuple[Path, list[Path]]) -> None:
    folder, files = few
    assert [str(f.relative_to(folder)) for f in files] == [
        "photos/train/landscape_000.png",
        "photos/train/landscape_001.png",
        "photos/test/view_000.png",
        "paintings/painting_000.png",
        "paintings/painting_001.png",
    ]
    assert {read(f).shape for f in files} == {(64, 64, 3)}
    assert sorted(p for p in folder.rglob("*") if p.is_file()) == sorted(files)


def test_same_bits_however_many_are_asked_for(few: tuple[Path, list[Path]], tmp_path: Path) -> None:
    folder, files = few
    many = render_sample(tmp_path, size=64, train=3, test=2, paintings=3)
    again = {f.relative_to(tmp_path): f.read_bytes() for f in many}
    assert all(again[f.relative_to(folder)] == f.read_bytes() for f in files)


def test_another_seed_makes_another_picture() -> None:
    for kind in range(len(KINDS)):
        one, other = (small(seed, kind) for seed in (2026, 2027))
        assert np.abs(one - other).mean() > 0.03


def test_training_and_test_pictures_differ() -> None:
    assert np.abs(small(2026, 0) - small(2026, 1)).mean() > 0.03


def test_whole_sample_stays_below_ten_megabytes(tmp_path: Path) -> None:
    # Meadow, crops and irises are full of detail: the others take less.
    photo = max(write_one(tmp_path, 2026, 256, 0, i).stat().st_size for i in (3, 5))
    painting = write_one(tmp_path, 2026, 256, 2, 3).stat().st_size
    assert 32 * photo + 16 * painting <= 10e6


def test_real_photographs_are_copied_with_their_credits(tmp_path: Path) -> None:
    files = copy_photographs(tmp_path)
    assert 6 <= len(files) <= 10
    assert sum(path.stat().st_size for path in files) < 1e6
    named = (tmp_path / "CREDITS.md").read_text()
    for path in files:
        assert path.read_bytes() == (REAL / path.name).read_bytes()
        assert path.parent == tmp_path / "photos/test"
        assert min(images.size_of(path)) >= 256
        assert images.load(path).shape[0] == 3, "a grey one, too"
        (row,) = (line for line in named.splitlines() if path.name in line)
        assert any(free in row for free in ("public domain", "CC0", "CC BY 2.0"))
    assert named.count("real_") == len(files)


def test_the_sample_in_the_project_is_the_one_that_is_rendered() -> None:
    """The photographs; the others take a minute."""
    for path in sorted(REAL.glob("*.jpg")):
        assert (ROOT / "data/photos/test" / path.name).read_bytes() == path.read_bytes()


def test_the_demo_has_real_and_rendered_test_photographs() -> None:
    names = [f"view_{n:03d}" for n in range(8)] + [path.stem for path in REAL.glob("*.jpg")]
    chosen = choose(names, 8, seed=42)
    assert sum(name.startswith("real_") for name in chosen) == 4


def test_pictures_use_the_whole_range_and_no_flat_areas(
    pictures: tuple[list[Picture], list[Picture]],
) -> None:
    for picture in (*pictures[0], *pictures[1]):
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert np.ptp(np.quantile(picture, (0.02, 0.98))) > 0.3
        fine = picture.mean(-1) - ndimage.gaussian_filter(picture.mean(-1), 1.5)
        spread = np.sqrt(ndimage.uniform_filter(np.square(fine), 8))
        assert (spread < 0.002).mean() < 0.05


def test_no_two_pictures_are_near_duplicates(
    pictures: tuple[list[Picture], list[Picture]],
) -> None:
    for group in pictures:
        small = np.stack([thumbnail(p) for p in group])
        apart = np.abs(small[:, None] - small[None]).mean(-1)
        assert apart[~np.eye(len(small), dtype=bool)].min() > 0.05


def test_hues_are_spread(pictures: tuple[list[Picture], list[Picture]]) -> None:
    for group in pictures:
        hues = [_main_hue(p) for p in group]
        taken = np.histogram(hues, bins=12, range=(0, 360))[0]
        assert (taken > 0).sum() >= 3


def _main_hue(picture: Picture) -> float:
    data = np.asarray(Image.fromarray((picture * 255).astype(np.uint8)).convert("HSV"), np.float64)
    turn = np.exp(2j * np.pi * data[..., 0] / 255) * data[..., 1]
    return float(np.angle(turn.sum(), deg=True) % 360)


def test_paintings_have_more_directed_contrast_than_photographs(
    pictures: tuple[list[Picture], list[Picture]],
) -> None:
    # Coherence alone does not tell them apart: furrows, waves and skies are coherent, but faint.
    photos, painted = ([directed_contrast(p) for p in group] for group in pictures)
    assert np.mean(painted) > 1.5 * np.mean(photos)
    assert np.quantile(painted, 0.1) > np.quantile(photos, 0.6)


def test_paintings_are_more_coherent_than_noise(
    pictures: tuple[list[Picture], list[Picture]],
) -> None:
    noise = np.random.default_rng(0).random((128, 128, 3))
    assert min(coherence(p) for p in pictures[1]) > coherence(noise) + 0.05


def test_neighbouring_strokes_agree_only_where_the_flow_is_smooth() -> None:
    smooth = np.full((256, 256), 0.6, np.float32)
    chaos = np.random.default_rng(1).uniform(0, np.pi, (256, 256)).astype(np.float32)
    flowing, tangled = (coherence(_covered(flow), window=8) for flow in (smooth, chaos))
    assert flowing > tangled + 0.25


def _covered(flow: Picture) -> Picture:
    """Strokes of random colours along ``flow``, all over a grey canvas."""
    canvas = Canvas(np.random.default_rng(5), 256, np.full(3, 0.5, np.float32))
    colour = np.random.default_rng(6).random((256, 256, 3)).astype(np.float32)
    canvas.cover(Brush(5.0, 30.0), colour, flow, np.ones_like(flow), 3.0)
    return canvas.finish()


@pytest.mark.parametrize("degrees", [0, 35, 90, 140])
def test_strokes_follow_the_flow(degrees: int) -> None:
    flow = np.full((256, 256), np.deg2rad(degrees), np.float32)
    dy, dx = np.gradient(ndimage.gaussian_filter(_covered(flow).mean(-1), 1.0))
    across = np.arctan2(2 * (dx * dy).sum(), (dx * dx - dy * dy).sum()) / 2
    off = (np.rad2deg(across) + 90 - degrees + 90) % 180 - 90
    assert abs(off) < 8


def test_strokes_cover_the_ground() -> None:
    canvas = Canvas(np.random.default_rng(5), 256, np.zeros(3, np.float32))
    white, flow = np.ones((256, 256, 3), np.float32), np.zeros((256, 256), np.float32)
    canvas.cover(Brush(6.0, 26.0, jitter=0.0, hue=0.0), white, flow, np.ones_like(flow), 4.0)
    assert (canvas.colour.mean(-1) < 0.3).mean() < 0.05


BAD: dict[str, Callable[[Path], Any]] = {
    "seed is -1": lambda folder: render_sample(folder, seed=-1),
    "size is 63": lambda folder: render_sample(folder, size=63),
    "size is 65": lambda folder: render_sample(folder, size=65),
    "size is 4096": lambda folder: render_sample(folder, size=4096),
    "train is -1": lambda folder: render_sample(folder, train=-1),
    "paintings is 1001": lambda folder: render_sample(folder, paintings=1001),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_numbers_are_named(message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        BAD[message](tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(UserError, match="taken: is a file"):
        render_sample(taken, train=1, test=0, paintings=0)
    assert taken.read_text() == "mine"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        render_sample(tmp_path, size=64, train=1, test=0, paintings=0)


def test_asking_for_nothing_gives_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render_sample(tmp_path, train=0, test=0, paintings=0) == []
