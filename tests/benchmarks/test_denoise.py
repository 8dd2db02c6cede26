"""The benchmark of the denoiser runs, with tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from atelier.core.config import UserError
from support.pictures import save
from support.scripts import script
from support.steps import smooth


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return script("benchmarks/denoise.py")


@pytest.mark.slow
def test_from_pictures_to_the_table(benchmark: ModuleType, tmp_path: Path) -> None:
    for n in range(4):
        save(tmp_path / "photos" / f"{n}.png", seed=n, size=(40, 30))
    small = {"count": 3, "size": 24, "seed": 0, "device": "cpu", "batch": 2, "steps": 2}
    benchmark.main(tmp_path / "out", tmp_path / "photos", **small, preset=None)
    found = json.loads((tmp_path / "out/denoise.json").read_text())
    setting, rows = found["setting"], found["rows"]
    assert setting["pictures"] == ["0", "1", "2"]
    assert (setting["steps"], setting["decay_every"], setting["width"]) == (2, 1500, 48)
    assert set(setting["seconds_per_step_and_picture"]) == {"1", "2"}
    ways = ["noisy", "median 3", "median 5", "wiener 3", "wiener 5", "non-local means"]
    ways.append("zero-shot")
    assert [row["way"] for row in rows] == ways * 6
    assert {row["gain"] for row in rows if row["way"] == "noisy"} == {0}
    untouched = [row["psnr"] for row in rows if row["way"] == "noisy"]
    assert untouched[:3] == sorted(untouched[:3], reverse=True)
    assert untouched[3:] == sorted(untouched[3:], reverse=True)
    assert (tmp_path / "out/denoise.png").is_file()
    assert (tmp_path / "out/denoise_pair.png").is_file()


def test_filters_denoise_a_smooth_picture(benchmark: ModuleType) -> None:
    names, clean = ["a", "b"], smooth(2, 48, 48)
    noisy = benchmark.noised(names, clean, "gaussian", 50, 0)
    for way in benchmark.FILTERS:
        row = benchmark.scores(way, benchmark.filtered(way, noisy, clean), clean, noisy)
        assert row["worst_gain"] > 3
        assert row["gain"] >= row["worst_gain"]


def test_noise_is_a_pictures_own(benchmark: ModuleType) -> None:
    clean = smooth(2)
    both = benchmark.noised(["a", "b"], clean, "poisson", 10, 0)
    assert torch.equal(both[1:], benchmark.noised(["b"], clean[1:], "poisson", 10, 0))
    assert not torch.equal(both[:1], benchmark.noised(["c"], clean[:1], "poisson", 10, 0))


def test_an_empty_folder(benchmark: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures"):
        benchmark.load(tmp_path, 1, 32)
