"""The figure of small sets is drawn, from numbers that say what they should."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from torch import Generator

from atelier.core.config import UserError
from support.pictures import save
from support.scripts import script


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return script("benchmarks/small_sets.py")


@pytest.mark.slow
def test_from_pictures_to_the_figure(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "SIZES", (4, 8, 12))
    monkeypatch.setattr(benchmark, "GAUSSIAN_SIZES", ((10, 10), (20, 20), (20, 40)))
    for folder, count in (("paintings", 62), ("photos", 32)):
        for n in range(count):
            save(tmp_path / folder / f"{n}.png", seed=n + 100 * count, size=(32, 32))
    folders = [tmp_path / name for name in ("out", "paintings", "photos")]
    small = {"draws": 2, "dimension": 16, "gaussian_draws": 2, "seed": 0}
    cache = tmp_path / "vectors.safetensors"
    benchmark.main(*folders, features="mini", cache=cache, **small)
    found = json.loads((tmp_path / "out/small_sets.json").read_text())
    assert found["setting"]["features"]["features"] == "mini"
    assert found["setting"]["features"]["hash"]
    assert (found["setting"]["paintings"], found["setting"]["photographs"]) == (62, 32)
    sizes = {name: [row["n"] for row in rows] for name, rows in found["curves"].items()}
    assert sizes == {"floor": [4, 8, 12, 31], "photographs": [4, 8, 12, 32]}
    assert found["extrapolated"]["photographs"]["n"] == 32
    with Image.open(tmp_path / "out/small_sets.png") as figure:
        assert figure.width == 1400
    (tmp_path / "photos/0.png").unlink()  # not needed when the vectors are kept
    benchmark.main(*folders, features="none", cache=cache, **small)
    assert json.loads((tmp_path / "out/small_sets.json").read_text()) == found


def test_more_pictures_bring_two_samples_of_one_gaussian_together(benchmark: ModuleType) -> None:
    rows = benchmark.gaussians([(10, 10), (40, 40)], 32, 3, 0)
    assert [(row["p"], row["n"]) for row in rows] == [
        (p, n) for p in benchmark.EXPONENTS for n in (10, 40)
    ]
    for few, many in zip(rows[::2], rows[1::2], strict=True):
        assert 0 < many["mean"] < few["mean"]
    flat = [row["mean"] for row in rows[1::2]]
    assert flat == sorted(flat), "the flatter the spectrum, the larger the bias"


def test_the_floors_halves_share_nothing(benchmark: ModuleType) -> None:
    one, other = benchmark.two_of_one(torch.arange(20.0)[:, None], Generator().manual_seed(0))(10)
    assert sorted(torch.cat([one, other]).flatten().tolist()) == list(range(20))


def test_too_few_pictures_are_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        save(tmp_path / folder / "1.png", size=(32, 32))
    with pytest.raises(UserError, match="needs 50 paintings and 25 photographs"):
        benchmark.main(tmp_path, tmp_path / "a", tmp_path / "b", "mini", None, 2, 8, 2, 0)
