"""Resizing, tensors, atomic PNG and JSON, finding pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.files import read_json, write_json
from support.pictures import profile_of_linear_light, ramp


@pytest.mark.parametrize(
    ("mode", "size"), [("crop", (32, 32)), ("fit", (32, 16)), ("stretch", (32, 32))]
)
@pytest.mark.parametrize("source", [(128, 64), (20, 10)])  # down and up
def test_resize_sizes(mode: images.ResizeMode, size: tuple, source: tuple) -> None:
    assert images.resize(ramp(*source), 32, mode).size == size


def test_crop_keeps_the_middle_and_the_aspect() -> None:
    picture = Image.new("RGB", (300, 100), "red")
    picture.paste("blue", (100, 0, 200, 100))
    found = np.asarray(images.resize(picture, 50))
    assert np.abs(found[:, 3:-3].astype(int) - [0, 0, 255]).max() <= 8  # red is cut away


def test_fit_of_a_line_keeps_a_pixel() -> None:
    assert images.resize(Image.new("RGB", (1000, 1)), 64, "fit").size == (64, 1)
    assert images.resize(ramp(), (30, 60), "fit").size == (30, 22)


def test_shrinking_is_antialiased() -> None:
    board = np.indices((256, 256)).sum(0) % 2 * 255
    small = images.resize(Image.fromarray(board.astype(np.uint8)).convert("RGB"), 32)
    assert np.abs(np.asarray(small).astype(int)[2:-2, 2:-2] - 127.5).max() < 2


def test_same_size_changes_no_pixel() -> None:
    assert np.array_equal(np.asarray(images.resize(ramp(48, 48), 48)), np.asarray(ramp(48, 48)))


def test_tensors_and_back() -> None:
    tensor = images.to_tensor(ramp())
    assert tensor.shape == (3, 48, 64)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert (float(tensor.min()), float(tensor[0].max())) == (0.0, 1.0)
    assert np.array_equal(np.asarray(images.to_image(tensor[None])), np.asarray(ramp()))


def test_to_image_clamps_rounds_and_refuses() -> None:
    column = torch.tensor([-1.0, 0.5 / 255 + 1e-4, 2.0]).expand(3, 1, 3)
    assert np.asarray(images.to_image(column))[0, :, 0].tolist() == [0, 1, 255]
    with pytest.raises(ValueError, match="expected"):
        images.to_image(torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="not finite"):
        images.to_image(torch.full((3, 2, 2), torch.nan))


def test_load_batch(tmp_path: Path) -> None:
    for name, size in {"a": (8, 6), "b": (8, 6), "c": (6, 8)}.items():
        images.save_png(ramp(*size), tmp_path / f"{name}.png")
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    assert images.load_batch([a, b]).shape == (2, 3, 6, 8)
    with pytest.raises(UserError, match=r"a\.png is 8×6 but .*c\.png is 6×8"):
        images.load_batch([a, c])
    with pytest.raises(UserError, match="empty"):
        images.load_batch([])


def test_png_bytes_are_the_pixels_alone(tmp_path: Path) -> None:
    plain, loaded = ramp(), ramp()
    loaded.info = {"icc_profile": profile_of_linear_light(), "dpi": (72, 72), "comment": "hello"}
    images.save_png(plain, tmp_path / "new" / "a.png")
    images.save_png(loaded, tmp_path / "b.png")
    images.save_png(images.to_tensor(plain), tmp_path / "c.png")
    found = {path.read_bytes() for path in images.find(tmp_path)}
    assert len(images.find(tmp_path)) == 3
    assert len(found) == 1


def test_a_failing_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.save_png(ramp(), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def half(self: Image.Image, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half a pict")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", half)
    for name in ("a.png", "new.png"):
        with pytest.raises(KeyboardInterrupt):
            images.save_png(ramp(seed=1), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_find(tmp_path: Path) -> None:
    wanted = ["Z.JPG", "a/b/c.webp", "a/x.Tiff", "b.png"]
    others = [".hidden.png", ".dir/a.png", "a/Thumbs.db", ".DS_Store", "a/notes.txt", "png"]
    for name in (*wanted, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in images.find(tmp_path)]
    assert found == wanted
    assert images.find(tmp_path / "missing") == []


def test_json_files(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "a.json", {"b": "ü", "a": [1]})
    assert read_json(tmp_path / "new" / "a.json") == {"b": "ü", "a": [1]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()
    with pytest.raises(UserError, match=r"no\.json: is missing"):
        read_json(tmp_path / "no.json")
    (tmp_path / "half.json").write_text('{"a":')
    with pytest.raises(UserError, match=r"half\.json: cannot be read as JSON"):
        read_json(tmp_path / "half.json")
