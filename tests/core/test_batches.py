"""Training batches: functions of seed and step, whole epochs, crops of every plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from atelier.core import images
from atelier.core.batches import Batch, Batches, BatchPlan, loader
from atelier.core.config import UserError
from support.pictures import ramp, save

PLAN = BatchPlan(batch=2, style_batch=3, crop=16, style_crop=20)


def paths(folder: Path, count: int, size: tuple[int, int] = (40, 32)) -> list[Path]:
    return [save(folder / f"{folder.name}_{n}.png", n, size) for n in range(count)]


def batches(folder: Path, seed: int = 0, **plan: Any) -> Batches:
    contents, styles = paths(folder / "photo", 5), paths(folder / "style", 4)
    return Batches(contents, styles, replace(PLAN, **plan), seed)


def whole(path: Path) -> Tensor:
    return images.load(path)


def equal(one: Batch, other: Batch) -> bool:
    pictures = torch.equal(one.content, other.content) and torch.equal(one.style, other.style)
    return pictures and (one.step, one.seed, one.names) == (other.step, other.seed, other.names)


def is_crop_of(part: Tensor, picture: Tensor) -> bool:
    """Whether ``part`` (3, s, s) lies somewhere in ``picture``, mirrored or not."""
    side = part.shape[1]
    windows = picture.unfold(1, side, 1).unfold(2, side, 1)
    return any(
        bool((windows == p[:, None, None]).all(dim=(0, 3, 4)).any()) for p in (part, part.flip(2))
    )


def contents_of(made: Batches, steps: int) -> list[str]:
    return [name for step in range(steps) for name in made[step].names[: made.plan.batch]]


def test_shapes_names_and_range(tmp_path: Path) -> None:
    batch = batches(tmp_path)[3]
    assert batch.content.shape == (2, 3, 16, 16)
    assert batch.style.shape == (3, 3, 20, 20)
    assert batch.step == 3
    assert [name[:5] for name in batch.names] == ["photo"] * 2 + ["style"] * 3
    for part in (batch.content, batch.style):
        assert part.dtype == torch.float32
        assert part.min() >= 0
        assert part.max() <= 1
        assert part.std() > 0.05


@pytest.mark.parametrize("overrides", [{}, {"smallest_side": 0.5}, {"load_size": 24}])
def test_a_batch_depends_on_seed_and_step_alone(tmp_path: Path, overrides: dict[str, Any]) -> None:
    one, other = batches(tmp_path, **overrides), batches(tmp_path, **overrides)
    torch.manual_seed(5)
    forward = [one[step] for step in range(6)]
    torch.manual_seed(6)
    before = torch.get_rng_state()
    backward = [other[step] for step in reversed(range(6))]
    assert torch.equal(before, torch.get_rng_state()), "the global generator is not touched"
    assert all(equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert not any(
        equal(a, replace(b, step=a.step)) for a, b in zip(forward, backward, strict=True)
    )


def test_another_seed_gives_other_batches(tmp_path: Path) -> None:
    one, other = batches(tmp_path), batches(tmp_path, seed=1)
    assert contents_of(one, 10) != contents_of(other, 10)
    styles = [[made[step].names[2:] for step in range(6)] for made in (one, other)]
    assert styles[0] != styles[1]


@pytest.mark.parametrize("batch", [1, 2, 5, 7])
def test_every_photograph_comes_once_an_epoch(tmp_path: Path, batch: int) -> None:
    names = contents_of(batches(tmp_path, batch=batch), 25)
    epochs = [names[at : at + 5] for at in range(0, len(names) - 4, 5)]
    assert all(len(set(epoch)) == 5 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1, "each epoch has its own order"


def test_styles_are_drawn_evenly_and_independently_of_the_contents(tmp_path: Path) -> None:
    made = batches(tmp_path, batch=1, style_batch=1)
    pairs = Counter(made[step].names for step in range(400))
    assert len(pairs) == 5 * 4
    assert all(5 <= count <= 40 for count in pairs.values())  # 20 expected


def test_crop_offsets_of_content_and_style_are_independent(tmp_path: Path) -> None:
    """MindSpore's port cuts and mirrors both in the same way."""
    path = save(tmp_path / "a.png", 0, (40, 40))
    plan = replace(PLAN, batch=1, style_batch=1, style_crop=16)
    made = Batches([path], [path], plan, 0)
    same = [torch.equal(made[step].content, made[step].style) for step in range(30)]
    assert sum(same) < 3


@pytest.mark.parametrize("every", [1, 3])
def test_the_same_styles_stay_for_style_every_steps(tmp_path: Path, every: int) -> None:
    made = batches(tmp_path, style_every=every, style_batch=2)
    styles = [made[step].style for step in range(12)]
    assert all(
        torch.equal(styles[step], styles[step - 1]) for step in range(12) if step % every != 0
    )
    changes = [not torch.equal(styles[n], styles[n - every]) for n in range(every, 12, every)]
    assert all(changes)


def test_a_crop_is_cut_pixel_by_pixel(tmp_path: Path) -> None:
    made = batches(tmp_path)
    for step in range(4):
        batch = made[step]
        files = [made.contents[0].parent / n for n in batch.names[:2]]
        files += [made.styles[0].parent / n for n in batch.names[2:]]
        for part, path in zip([*batch.content, *batch.style], files, strict=True):
            assert is_crop_of(part, whole(path))


def test_crops_reach_every_edge(tmp_path: Path) -> None:
    """MindSpore's port never reaches the last row and column."""
    path = tmp_path / "a.png"
    ramp(20, 18).save(path)
    plan = BatchPlan(batch=1, crop=16, style_crop=16, flip=False)
    made, picture = Batches([path], [path], plan, 0), whole(path)
    windows = picture.unfold(1, 16, 1).unfold(2, 16, 1)
    seen = set()
    for step in range(150):
        hits = (windows == made[step].content[0][:, None, None]).all(dim=(0, 3, 4))
        seen |= {(int(top), int(left)) for top, left in hits.nonzero()}
    assert seen == {(top, left) for top in range(3) for left in range(5)}


def test_flips_are_made_half_the_time_or_never(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 0, (16, 16))
    picture = whole(path)
    for flip, low, high in ((True, 40, 80), (False, 0, 0)):
        made = Batches([path], [path], BatchPlan(1, crop=16, style_crop=16, flip=flip), 0)
        contents = [made[step].content[0] for step in range(120)]
        flipped = [torch.equal(content, picture.flip(2)) for content in contents]
        straight = [torch.equal(content, picture) for content in contents]
        assert low <= sum(flipped) <= high
        assert sum(flipped) + sum(straight) == 120


def test_load_size_shrinks_before_cropping_and_keeps_the_aspect(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 0, (80, 60))
    made = Batches([path], [path], BatchPlan(1, crop=16, style_crop=16, load_size=20), 0)
    small = images.to_tensor(images.resize(images.read(path), (27, 20), "stretch"))
    assert all(is_crop_of(made[step].content[0], small) for step in range(4))


def test_load_size_enlarges_too(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 0, (40, 24))
    made = Batches([path], [path], BatchPlan(1, crop=16, style_crop=16, load_size=48), 0)
    large = images.to_tensor(images.resize(images.read(path), (80, 48), "stretch"))
    assert all(is_crop_of(made[step].content[0], large) for step in range(4))


def test_a_load_size_below_the_crop_stops_at_the_crop(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 0, (60, 40))
    made = Batches([path], [path], BatchPlan(1, crop=16, style_crop=16, load_size=12), 0)
    small = images.to_tensor(images.resize(images.read(path), (24, 16), "stretch"))
    assert is_crop_of(made[0].content[0], small)


@pytest.mark.parametrize("size", [(10, 30), (30, 10), (9, 9), (15, 16)])
def test_pictures_smaller_than_the_crop_are_enlarged(tmp_path: Path, size: tuple[int, int]) -> None:
    path = save(tmp_path / "a.png", 0, size)
    made = Batches([path], [path], BatchPlan(1, crop=16, style_crop=16), 0)
    scale = 16 / min(size)
    enlarged = (max(16, round(size[0] * scale)), max(16, round(size[1] * scale)))
    large = images.to_tensor(images.resize(images.read(path), enlarged, "stretch"))
    assert all(is_crop_of(made[step].content[0], large) for step in range(4))


@pytest.mark.parametrize(
    ("overrides", "side"),
    [({"load_size": 48}, 32), ({"load_size": 20}, 20), ({"smallest_side": 0.25}, 32)],
)
def test_unless_it_is_told_to_a_plan_enlarges_nothing(
    tmp_path: Path, overrides: dict[str, Any], side: int
) -> None:
    """Crops of enlarged pictures lack the detail of those a system is applied to."""
    path = save(tmp_path / "a.png", 0, (40, 32))
    crop = 32 if "smallest_side" in overrides else 16
    made = Batches(
        [path], [path], BatchPlan(1, crop=crop, style_crop=crop, enlarge=False, **overrides), 0
    )
    picture = images.to_tensor(images.resize(images.read(path), (side * 40 // 32, side), "stretch"))
    assert all(is_crop_of(made[step].content[0], picture) for step in range(6))


@pytest.mark.parametrize(
    ("overrides", "needs"),
    [({}, 16), ({"load_size": 48}, 48), ({"load_size": 8}, 16), ({"smallest_side": 0.3}, 54),
     ({"crop": None}, 0)],
)  # fmt: skip
def test_the_side_from_which_nothing_is_enlarged(overrides: dict[str, Any], needs: int) -> None:
    assert replace(PLAN, **overrides).needs == needs


def test_smallest_side_cuts_parts_of_all_sizes_and_resizes_them(tmp_path: Path) -> None:
    """On a ramp the range of a crop tells its side in the picture."""
    path, side = tmp_path / "a.png", 64
    ramp(side, side).save(path)
    plan = BatchPlan(1, crop=32, style_crop=32, smallest_side=0.25)
    made = Batches([path], [path], plan, 0)
    spans = []
    for step in range(60):
        red = made[step].content[0, 0]
        assert made[step].content.shape[2:] == (32, 32)
        slope = (red[:, 8:24].diff(dim=1)).abs().mean().item()  # of 1/63 a pixel of the picture
        spans.append(slope * 63 * 32 / side)
    assert min(spans) == pytest.approx(0.25, abs=0.06)
    assert max(spans) == pytest.approx(1.0, abs=0.06)
    assert min(spans) > 0.23
    assert max(spans) < 1.03


def test_a_crop_of_none_takes_pictures_whole_and_unmirrored(tmp_path: Path) -> None:
    made = batches(tmp_path, crop=None, style_crop=None)
    batch = made[0]
    expected = [whole(made.contents[0].parent / name) for name in batch.names[:2]]
    assert torch.equal(batch.content, torch.stack(expected))
    assert batch.style.shape == (3, 3, 32, 40)


def test_whole_pictures_of_two_sizes_are_named(tmp_path: Path) -> None:
    odd = save(tmp_path / "odd.png", 7, (50, 32))
    contents, styles = paths(tmp_path / "photo", 1), paths(tmp_path / "style", 1)
    made = Batches([*contents, odd], styles, replace(PLAN, crop=None), 0)
    with pytest.raises(UserError, match=r"odd\.png"):
        made[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_gives_the_same_batches_whoever_makes_them(tmp_path: Path, workers: int) -> None:
    made = batches(tmp_path)
    found = list(loader(made, 2, 5, workers))
    assert len(found) == 3
    assert all(equal(batch, made[step]) for batch, step in zip(found, range(2, 5), strict=True))


def test_a_photograph_that_went_missing_is_named(tmp_path: Path) -> None:
    made = batches(tmp_path, batch=5)
    made.contents[2].unlink()
    with pytest.raises(UserError, match=r"photo_2\.png: is missing"):
        made[0]


def test_a_photograph_that_went_missing_is_named_by_a_worker_too(tmp_path: Path) -> None:
    made = batches(tmp_path, batch=5)
    made.contents[2].unlink()
    with pytest.raises(UserError, match=r"photo_2\.png: is missing"):
        next(loader(made, 0, 1, 1))


@pytest.mark.parametrize("empty", ["contents", "styles"])
def test_no_pictures_at_all(tmp_path: Path, empty: str) -> None:
    pictures = {"contents": paths(tmp_path, 1), "styles": paths(tmp_path, 1), empty: []}
    with pytest.raises(UserError, match="no pictures to train on"):
        Batches(pictures["contents"], pictures["styles"], PLAN, 0)


def test_draws_of_a_method_depend_on_seed_step_and_purpose() -> None:
    def draw(step: int, seed: int, *purpose: str) -> Tensor:
        empty = torch.empty(0)
        return torch.rand(4, generator=Batch(step, seed, empty, empty, ()).generator(*purpose))

    assert torch.equal(draw(1, 0, "noise"), draw(1, 0, "noise"))
    others = [draw(2, 0, "noise"), draw(1, 1, "noise"), draw(1, 0, "crop"), draw(1, 0)]
    assert all(not torch.equal(draw(1, 0, "noise"), other) for other in others)


def test_a_moved_batch_is_the_same_and_laid_out_for_convolutions(tmp_path: Path) -> None:
    batch = batches(tmp_path)[0]
    moved = batch.to("cpu")
    assert equal(batch, moved)
    assert moved.content.is_contiguous(memory_format=torch.channels_last)
    assert moved.style.is_contiguous(memory_format=torch.channels_last)
    rows = moved.to("cpu", torch.contiguous_format)
    assert rows.content.is_contiguous()
    assert equal(batch, rows)


def test_grey_and_transparent_files_are_rgb(tmp_path: Path) -> None:
    grey, clear = tmp_path / "grey.png", tmp_path / "clear.png"
    ramp().convert("L").save(grey)
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(clear)
    made = Batches([grey, clear], [grey], replace(PLAN, batch=2), 0)
    assert made[0].content.shape == (2, 3, 16, 16)
