"""NNST: replaced features, its sizes and phases, and independence of the neighbours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from atelier.core.config import UserError
from atelier.methods import nnst
from atelier.methods.base import make
from atelier.methods.nnst import Nnst
from atelier.nn.laplacian_pyramid import detail, resize
from atelier.nn.nearest_neighbours import cosine_loss, neighbour_loss, replace_features
from atelier.nn.palette import match_palette
from support.nets import quick_random
from support.optimisation import check_gradients, run, small, total
from support.steps import smooth
from support.tensors import uniform


def system(seed: int = 0, **settings: Any) -> Nnst:
    return small(Nnst, seed, **settings)


@pytest.mark.slow
def test_both_losses_fall() -> None:
    content, style = smooth(2, 36, 44), smooth(2, 36, 32, seed=1)
    found = run(system(steps=10, lr=0.01), content, style)
    assert len(found) == 20
    assert (total(found[9]) < 0.9 * total(found[0])).all()
    assert (total(found[19]) < total(found[10])).all()


def test_two_runs_are_bit_identical_and_the_global_generator_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nnst, "LONGEST", 16)  # so that layers of small pictures are thinned
    content, style = smooth(1, 40, 33), smooth(1, 38, 35, seed=1)
    before = torch.get_rng_state()
    one, same, other = (system(seed, steps=1).stylize(content, style) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other), "the split phase thins its layers at random"
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_the_sizes_and_steps_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    def watched(leaves: list[Tensor], lr: float) -> Adam:
        rates.append(lr)
        return Adam(leaves, lr=lr)

    monkeypatch.setattr(nnst, "Adam", watched)
    assert system(steps=200).steps(512, 512) == 5 * 200
    assert system(steps=200, split_steps=50).steps(256, 256) == 3 * 200 + 50
    method = system(steps=1, coarsest=32)
    found = run(method, smooth(1, 128, 128), smooth(1, seed=1))
    assert [it.image.shape[2] for it in found] == [32, 64, 128, 128]
    assert rates == [2e-3] * 4
    assert len(run(system(steps=1, split_steps=0), smooth(1), smooth(1, seed=1))) == 1


def test_targets_are_the_paintings_features_for_the_photograph() -> None:
    method, photo, painting = system(rotate=False), smooth(1), smooth(1, seed=1)
    found = method._target(photo, painting, None)
    content, style = method._hypercolumns(photo), method._hypercolumns(painting)
    assert content.shape == (1, 12 * 12, 64 + 128)
    assert torch.equal(found, replace_features(content, lambda: [style]))
    loss = method._matched(found, photo)["total"]
    torch.testing.assert_close(loss, cosine_loss(content, found))


@pytest.mark.parametrize(("stride", "places"), [(1, 48 * 40), (2, 24 * 20), (5, 9 * 8)])
def test_the_stride_is_that_of_the_places_matched(stride: int, places: int) -> None:
    method, photo, painting = system(stride=stride), smooth(1, 48, 40), smooth(1, seed=1)
    target = method._target(photo, painting, None)
    assert target.shape == (1, places, 64 + 128)
    loss = method._matched(target, photo)["total"]
    torch.testing.assert_close(loss, cosine_loss(method._hypercolumns(photo), target))


def test_what_is_sought_mixes_photograph_and_output() -> None:
    """The output so far has no detail of its own: it is lent the photograph's."""
    photo, painting = smooth(1), smooth(1, seed=1)
    image = resize(smooth(1, 24, 24, seed=2), (48, 48))
    mixed = 0.75 * photo + 0.25 * (image + detail(photo))
    found = system()._target(photo, painting, image)
    assert torch.equal(found, system()._target(mixed, painting, None))
    kept = system(alpha=1.0)._target(photo, painting, image)
    assert torch.equal(kept, system()._target(photo, painting, None))


def test_turned_paintings_offer_more_features() -> None:
    """A photograph that is the painting turned finds itself only if the painting is turned, too."""
    painting = smooth(1)
    photo = torch.rot90(painting, 1, (2, 3))
    losses = [
        method._matched(method._target(photo, painting, None), photo)["total"].item()
        for method in (system(rotate=True), system(rotate=False))
    ]
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[1] > 10 * max(losses[0], 1e-5)


def test_the_split_loss_is_the_sum_over_layers() -> None:
    method, image, style = system(), smooth(2), smooth(2, 40, 56, seed=1)
    painted = method._painted(style)
    assert len(painted) == 4
    found = method._split(painted, torch.Generator().manual_seed(0), image)["total"]
    expected = torch.zeros(2)
    for layer, maps in method.features(image).items():
        painting = torch.cat([part[layer].flatten(2).mT for part in painted], 1)
        expected = expected + neighbour_loss(maps.flatten(2).mT, painting)
    torch.testing.assert_close(found, expected)


def test_large_layers_are_thinned() -> None:
    layer = torch.arange(130.0 * 70).view(1, 1, 130, 70)
    found = nnst._thinned(layer, torch.tensor([0.9, 0.1]))
    assert found.shape == (1, 65 * 35, 1)
    assert found[0, 0].item() == 70, "the second row, the first column"
    assert nnst._thinned(layer[..., :2, :], torch.tensor([0.9, 0.9])).shape == (1, 2 * 70, 1)


def test_distances_are_between_the_mean_colours_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nnst, "CELLS", 2)
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, :4, 4:] = 0.3
    image[0, 1, 4:, :4] = 0.4
    image[0, 2, 4::2, 4:] = 0.1  # every other row: 0.05 on average
    expected = [[0.0, 0.3, 0.4, 0.05], [0.3, 0.0, 0.5, 0.3041381], [0.4, 0.5, 0.0, 0.4031129]]
    torch.testing.assert_close(nnst.distances(image, "colours")[0, :3], torch.tensor(expected))


def test_luminance_leaves_hues_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nnst, "CELLS", 2)
    red, green = (1.0, 0.0, 0.0), (0.0, 0.299 / 0.587, 0.0)  # of one luminance
    colours = torch.tensor([red, green, (0.5, 0.5, 0.5), (0.9, 0.9, 0.9)])
    image = colours.T.view(1, 3, 2, 2)
    luminance = torch.tensor([0.299, 0.299, 0.5, 0.9])
    expected = (luminance[:, None] - luminance).abs()[None]
    torch.testing.assert_close(nnst.distances(image, "luminance"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "cells"), [((128, 128), (32, 32)), ((75, 100), (24, 32)), ((32, 999), (1, 32))]
)
def test_distances_between_colours_nearly_alike_are_exact(
    size: tuple[int, int], cells: tuple[int, int]
) -> None:
    image = 0.7 + 1e-3 * uniform(1, 3, *size)
    means = F.adaptive_avg_pool2d(image.double(), cells).flatten(2).mT
    wanted = (means[:, :, None] - means[:, None]).norm(dim=3)
    found = nnst.distances(image, "colours").double()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_without_a_weight_there_is_no_content_loss() -> None:
    found = run(system(steps=1), smooth(1), smooth(1, seed=1))
    assert [list(step.losses) for step in found] == [["total"]] * 2


def test_the_content_loss_keeps_distances_of_colours() -> None:
    content = 0.25 + smooth(2, 40, 48) / 2  # far from 0 and 1, at which results are clamped
    style = smooth(2, 36, 32, seed=1)
    wanted = nnst.distances(content, "colours")

    def off(image: Tensor) -> Tensor:
        return (nnst.distances(image, "colours") - wanted).abs().mean((1, 2))

    plain, kept = (
        run(system(steps=6, lr=0.02, content_weight=weight), content, style) for weight in (0, 20)
    )
    second, image, method = kept[1].losses, kept[0].image, system()
    torch.testing.assert_close(second["content"], off(image))
    matched = method._matched(method._target(content, style, None), image)["total"]
    torch.testing.assert_close(second["total"], matched + 20 * off(image))
    assert (off(kept[5].image) < 0.5 * off(plain[5].image)).all()


def test_the_photograph_has_no_content_loss_at_any_size() -> None:
    """Cells that do not divide the sides mix more of their neighbours where they are few pixels."""
    method = system(steps=1, split_steps=1, coarsest=32, content_weight=1.0)
    found = run(method, smooth(1, 107, 160), smooth(1, seed=1))
    assert [step.image.shape[2:] for step in found[:2]] == [(53, 80), (107, 160)]
    first, second, _ = (step.losses["content"].item() for step in found)
    assert first < 1e-6
    assert second > 1e-3


def test_the_last_split_steps_have_no_content_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nnst.SPLIT_CONTENT == 101
    monkeypatch.setattr(nnst, "SPLIT_CONTENT", 3)
    method = system(steps=5, split_steps=4, content_weight=1.0)
    found = run(method, smooth(1), smooth(1, seed=1))
    assert ["content" in step.losses for step in found] == [True] * 8 + [False]


def test_gradients_of_the_content_loss_are_those_of_single_pictures() -> None:
    content, method = smooth(2), system(content_weight=5.0)

    def objective(which: slice) -> nnst.Objective:
        return method._with_content(content[which], lambda image: {"total": image.mean((1, 2, 3))})

    check_gradients(objective, smooth(2, seed=1), 1e-5)


def test_the_palette_is_matched_once_at_the_end() -> None:
    content, style = smooth(1, 32, 32), smooth(1, 32, 32, seed=1)
    plain, coloured = (run(system(palette=p), content, style) for p in (False, True))
    assert torch.equal(plain[-2].image, coloured[-2].image)
    expected = match_palette(plain[-1].image, content, style)
    assert torch.equal(coloured[-1].image, expected)
    assert not torch.equal(expected, plain[-1].image)


def test_bfloat16_keeps_the_losses_about_as_they_are() -> None:
    exact, rough = (
        run(system(steps=1, precision=p), smooth(1), smooth(1, seed=1))
        for p in ("float32", "bfloat16")
    )
    for one, other in zip(exact, rough, strict=True):
        assert total(other).dtype == torch.float32
        torch.testing.assert_close(total(other), total(one), rtol=0.2, atol=0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"alpha": 1.5}, r"methods\.nnst\.alpha: .*less than or equal to 1"),
        ({"content_loss": "hue"}, r"methods\.nnst\.content_loss: .*'luminance'.*found 'hue'"),
        ({"content_weight": -1}, r"methods\.nnst\.content_weight: .*greater than or equal to 0"),
        ({"stride": 0}, r"methods\.nnst\.stride: .*greater than or equal to 1"),
        ({"split_steps": -1}, r"methods\.nnst\.split_steps: .*greater than or equal to 0"),
        ({"layers": ["relu9_1"]}, r"random has no layer 'relu9_1'"),
        ({"rotations": 2}, r"methods\.nnst\.rotations: no such setting"),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any], message: str
) -> None:
    quick_random(monkeypatch)
    block = {"class": "nnst", "features": "random", **overrides}
    with pytest.raises(UserError, match=message):
        make(block, "methods.nnst", seed=0, device="cpu")


def test_the_published_hypercolumn_has_2688_features(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_random(monkeypatch)
    method = make({"class": "nnst", "features": "random"}, "x", seed=0, device="cpu")
    assert isinstance(method, Nnst)
    assert sum(method.features.channels.values()) == 2688
