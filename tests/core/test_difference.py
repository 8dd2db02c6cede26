"""By how much two files differ."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from atelier.core.difference import BYTES, NUMBERS, PICTURES, TENSORS, Difference, difference


def picture(path: Path, values: np.ndarray, **options: object) -> Path:  # type: ignore[type-arg]
    Image.fromarray(values.astype(np.uint8)).save(path, **options)  # type: ignore[arg-type]
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_equal_files_do_not_differ(tmp_path: Path) -> None:
    one, other = (written(tmp_path / name, "{}") for name in ("a.json", "b.json"))
    assert difference(one, other) is None


def test_pictures_differ_by_levels(tmp_path: Path) -> None:
    grey = np.full((4, 5, 3), 100)
    changed = grey.copy()
    changed[0, 0] = (103, 100, 98)
    found = difference(picture(tmp_path / "a.png", grey), picture(tmp_path / "b.png", changed))
    assert found is not None
    assert (found.kind, found.largest, found.mean) == (PICTURES, 3, pytest.approx(5 / 60))
    assert found.other == ""


def test_the_same_pixels_in_other_bytes_are_told(tmp_path: Path) -> None:
    grey = np.full((40, 50, 3), 100)
    one = picture(tmp_path / "a.png", grey, compress_level=0)
    found = difference(one, picture(tmp_path / "b.png", grey))
    assert found == Difference(PICTURES, other="the same values, written otherwise")


def test_pictures_of_other_sizes_and_broken_ones_are_told(tmp_path: Path) -> None:
    one = picture(tmp_path / "a.png", np.zeros((4, 5, 3)))
    found = difference(one, picture(tmp_path / "b.png", np.zeros((4, 6, 3))))
    assert found == Difference(PICTURES, other="6×4 instead of 5×4 pixels")
    found = difference(one, written(tmp_path / "c.png", ""))
    assert found is not None
    assert found.other.startswith("cannot be compared (")
    assert "is empty" in found.other


def test_tensors_differ_by_absolute_and_relative_values(tmp_path: Path) -> None:
    values = {"a": np.array([1.0, -2.0, 0.0]), "b": np.array([[np.nan, np.inf]])}
    changed = {"a": np.array([1.0, -2.5, 0.0]), "b": values["b"]}
    for name, tensors in (("a", values), ("b", changed)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    found = difference(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert found == Difference(TENSORS, 0.5, pytest.approx(0.1), 0.2, "a")


def test_other_tensors_and_values_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    save_file({"a": np.ones(2), "c": np.ones(1)}, tmp_path / "a.safetensors")
    save_file({"a": np.ones(3), "c": np.array([np.nan])}, tmp_path / "b.safetensors")
    found = difference(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert found == Difference(TENSORS, math.inf, math.inf, math.inf, "c", "other shapes: a")


def test_numbers_of_json_are_named_by_their_path(tmp_path: Path) -> None:
    tree = {"frechet": 10.0, "denoised": {"kid": [0.1, 0.2]}, "ok": True, "name": "x", "n": 3}
    other = {"frechet": 10.1, "denoised": {"kid": [0.1, 0.4]}, "ok": True, "name": "y", "m": 3}
    paths = [written(tmp_path / f"{n}.json", json.dumps(t)) for n, t in enumerate((tree, other))]
    found = difference(*paths)
    assert found is not None
    assert (found.kind, found.where, found.other) == (
        NUMBERS,
        "denoised.kid.1",
        "other entries: m, n, name",
    )
    assert (found.largest, found.relative) == (pytest.approx(0.2), pytest.approx(0.5))


def test_numbers_of_csv_are_named_by_row_and_column(tmp_path: Path) -> None:
    one = written(tmp_path / "a.csv", "step,total\n1,2.0\n2,1.0\n")
    other = written(tmp_path / "b.csv", "step,total\n1,2.0\n2,1.25\n")
    found = difference(one, other)
    assert found == Difference(NUMBERS, 0.25, 0.0625, 0.2, "1.total")
    found = difference(one, written(tmp_path / "c.csv", ""))
    assert found is not None
    assert found.other == "other entries: 0.step, 0.total, 1.step"


def test_of_anything_else_the_sizes_are_told(tmp_path: Path) -> None:
    one, other = (written(tmp_path / f"{n}.md", "x" * n) for n in (3, 5))
    assert difference(one, other) == Difference(BYTES, other="5 bytes instead of 3")
