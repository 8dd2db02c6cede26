"""Hypercolumns: the bilinear enlargement of all layers, at single positions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from atelier.nn.hypercolumns import hypercolumns, random_positions, region_labels
from support.tensors import uniform


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def everywhere(height: int, width: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(height), torch.arange(width))


@pytest.mark.parametrize("size", [(16, 16), (17, 30)])
def test_they_are_the_layers_enlarged_to_the_picture(size: tuple[int, int]) -> None:
    maps = [uniform(2, 3, *size), uniform(2, 4, 8, 15), uniform(2, 5, 2, 2), uniform(2, 2, 1, 1)]
    found = hypercolumns(maps, everywhere(*size), size)
    large = torch.cat([F.interpolate(layer, size, mode="bilinear") for layer in maps], 1)
    torch.testing.assert_close(found, large.flatten(2).mT)


def test_their_gradient_is_that_of_the_enlargement() -> None:
    one = uniform(1, 4, 5, 6).requires_grad_()
    places = random_positions(16, 20, 50, generator())
    weight = uniform(50, 4)
    (found,) = torch.autograd.grad((hypercolumns([one], places, (16, 20))[0] * weight).sum(), one)
    large = F.interpolate(one, (16, 20), mode="bilinear")[0][:, places[:, 0], places[:, 1]].mT
    (expected,) = torch.autograd.grad((large * weight).sum(), one)
    torch.testing.assert_close(found, expected)


def test_a_layer_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of each reading is a tensor of the layer's size."""
    read, calls = Tensor.index_select, list[int]()
    monkeypatch.setattr(
        Tensor, "index_select", lambda rows, *at: (calls.append(len(at[1])), read(rows, *at))[1]
    )
    hypercolumns([uniform(1, 3, 8, 8), uniform(1, 3, 4, 4)], everywhere(8, 8), (8, 8))
    assert calls == [4 * 64] * 2


def test_layers_in_bfloat16_are_weighed_in_float32() -> None:
    rough = uniform(1, 4, 4, 4).bfloat16()
    found = hypercolumns([rough], everywhere(8, 8), (8, 8))
    assert found.dtype == torch.float32
    assert torch.equal(found, hypercolumns([rough.float()], everywhere(8, 8), (8, 8)))


def test_random_positions_are_different_ones_and_all_where_there_are_few() -> None:
    places = random_positions(20, 30, 100, generator())
    assert len(torch.unique(places, dim=0)) == 100
    assert len(random_positions(3, 4, 100, generator())) == 12
    assert not torch.equal(places, random_positions(20, 30, 100, generator(1)))


def test_labels_name_the_region_and_minus_one_none() -> None:
    masks = torch.zeros(1, 2, 4, 6)
    masks[0, 0, :, :2], masks[0, 1, :, 4:] = 1.0, 0.9
    found = region_labels(masks, everywhere(4, 6), (4, 6)).view(4, 6)
    assert found[0].tolist() == [0, 0, -1, -1, 1, 1]
    larger = region_labels(masks, everywhere(8, 12), (8, 12)).view(8, 12)
    assert larger[3].tolist() == [0, 0, 0, 0, -1, -1, -1, -1, 1, 1, 1, 1]
