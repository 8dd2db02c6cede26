"""Padding to multiples: what is added, where, and that it is cut off again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atelier.nn.padding import fitted
from support.tensors import uniform


def padded(image: Tensor, multiple: int) -> Tensor:
    """What the network gets."""
    seen: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        seen.append(value)
        return value

    found = fitted(keep, image, multiple)
    assert torch.equal(found, image), "a network that does nothing changes nothing"
    return seen[0]


@pytest.mark.parametrize("size", [(50, 37), (16, 33), (31, 16), (17, 17), (48, 32)])
@pytest.mark.parametrize("multiple", [1, 4, 16])
def test_the_network_gets_the_next_multiple(size: tuple[int, int], multiple: int) -> None:
    height, width = padded(uniform(2, 3, *size), multiple).shape[2:]
    assert height % multiple == width % multiple == 0
    assert 0 <= height - size[0] < multiple
    assert 0 <= width - size[1] < multiple


def test_a_picture_that_fits_is_handed_on_itself() -> None:
    image = uniform(1, 3, 32, 16)
    assert padded(image, 16) is image


def test_the_picture_is_mirrored_at_its_right_and_lower_rim() -> None:
    row = torch.arange(5.0).expand(1, 3, 6, 5)
    found = padded(row, 4)
    assert found.shape == (1, 3, 8, 8)
    assert found[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    column = torch.arange(6.0)[:, None].expand(1, 3, 6, 5)
    assert padded(column, 4)[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (20, 2), (8, 5)])
def test_a_picture_too_short_to_mirror_repeats_its_rim(size: tuple[int, int]) -> None:
    image = uniform(1, 3, *size)
    found = padded(image, 16)
    assert torch.equal(found[0, :, -1, -1], image[0, :, -1, -1])
    assert torch.equal(found[..., : size[0], -1], image[..., -1])


def test_mirroring_needs_one_pixel_more_than_it_adds() -> None:
    image = torch.arange(9.0).expand(1, 1, 9, 9)
    assert padded(image, 16)[0, 0, 0, 9:].tolist() == [7, 6, 5, 4, 3, 2, 1]
    image = torch.arange(8.0).expand(1, 1, 8, 8)
    assert padded(image, 16)[0, 0, 0, 8:].tolist() == [7.0] * 8


def test_the_result_is_cut_where_the_picture_was() -> None:
    image = uniform(2, 3, 5, 7)
    found = fitted(lambda value: value.flip(1) * 2, image, 8)
    assert torch.equal(found, image.flip(1) * 2)


def test_one_colour_stays_one_colour() -> None:
    assert padded(torch.full((1, 3, 5, 3), 0.3), 16).unique().tolist() == [pytest.approx(0.3)]


def test_gradients_pass() -> None:
    image = uniform(1, 3, 5, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(fitted(torch.square, image, 4).sum(), image)
    torch.testing.assert_close(gradient, 2 * image.detach())
