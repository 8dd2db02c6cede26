"""Laplacian pyramids: exact at any size, and what is optimised over them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Adam

from atelier.core.config import UserError
from atelier.nn.laplacian_pyramid import (
    coarse_to_fine,
    decompose,
    detail,
    optimise,
    pictures_by_size,
    reconstruct,
)
from support.tensors import uniform


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (33, 5), (1, 7), (1, 1)])
@pytest.mark.parametrize("levels", [0, 1, 5, 9])
def test_a_pyramid_gives_its_picture_back(size: tuple[int, int], levels: int) -> None:
    image = uniform(2, 3, *size)
    pyramid = decompose(image, levels)
    torch.testing.assert_close(reconstruct(pyramid), image, rtol=0, atol=1e-6)
    assert pyramid[0].shape == image.shape
    assert len(pyramid) <= levels + 1


def test_the_levels_are_halved_and_end_at_one_pixel() -> None:
    sides = [tuple(level.shape[2:]) for level in decompose(uniform(1, 3, 12, 5), 9)]
    assert sides == [(12, 5), (6, 2), (3, 1), (1, 1)]


def test_an_even_picture_has_no_detail_and_the_rest_is_its_colour() -> None:
    flat = torch.full((1, 3, 40, 24), 0.3)
    *residuals, rest = decompose(flat, 5)
    assert max(level.abs().max() for level in residuals) < 1e-6
    torch.testing.assert_close(rest, torch.full_like(rest, 0.3))
    assert detail(flat).abs().max() < 1e-6


def test_halving_an_even_side_averages_two_pixels() -> None:
    image = uniform(1, 3, 8, 8)
    _, small = decompose(image, 1)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(image, 2))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), [(64, 64), (128, 128), (256, 256), (512, 512)]),
        ((384, 512), [(48, 64), (96, 128), (192, 256), (384, 512)]),
        ((128, 128), [(64, 64), (128, 128)]),
        ((127, 127), [(127, 127)]),
        ((40, 400), [(40, 400)]),
    ],
)
def test_sizes_are_halved_down_to_the_coarsest(
    size: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    assert coarse_to_fine(*size, 64) == expected


def test_a_small_painting_is_repeated_instead_of_halved() -> None:
    sides = [tuple(p.shape[2:]) for p in pictures_by_size(uniform(1, 3, 130, 70), 4)]
    assert sides == [(65, 35), (65, 35), (65, 35), (130, 70)]


def test_optimising_minimises_the_total_and_yields_the_picture_after_the_step() -> None:
    target, image = uniform(2, 3, 32, 20, seed=1), uniform(2, 3, 32, 20)

    def objective(picture: Tensor) -> dict[str, Tensor]:
        return {"total": (picture - target).square().flatten(1).mean(1)}

    run = list(optimise(image, 3, objective, lambda p: Adam(p, lr=0.05), 40))
    assert len(run) == 40
    (_, first), (last, losses) = run[0], run[-1]
    torch.testing.assert_close(first["total"], objective(image)["total"])
    assert (losses["total"] < 0.5 * first["total"]).all()
    assert (objective(last)["total"] < losses["total"]).all()
    assert not last.requires_grad


def test_a_loss_that_is_not_finite_names_the_picture() -> None:
    def objective(picture: Tensor) -> dict[str, Tensor]:
        return {"total": picture.sum((1, 2, 3)) * torch.tensor([1.0, float("nan")])}

    with pytest.raises(UserError, match="picture 1 of the batch is not finite at step 0"):
        list(optimise(uniform(2, 3, 8, 8), 1, objective, lambda p: SGD(p, lr=1.0), 1))
