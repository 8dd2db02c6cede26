"""Content feature structural distance: the authors' formula, its zero, the grid of places."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.metrics.cfsd import ROWS, structural_distance


def activations(side: int = 8, seed: int = 0, batch: int = 2, scale: float = 4.0) -> Tensor:
    """Features that change slowly from place to place, as a network's do."""
    coarse = torch.rand(batch, 6, 4, 4, generator=torch.Generator().manual_seed(seed))
    return scale * F.interpolate(coarse, side, mode="bilinear")


def published(result: Tensor, photo: Tensor) -> Tensor:
    """Whole matrices, softmax by its definition."""
    values = []
    for pair in zip(photo, result, strict=True):
        flat = [one.double().flatten(1).mT / len(one) for one in pair]
        p, q = ((f @ f.mT).exp() / (f @ f.mT).exp().sum(1, keepdim=True) for f in flat)
        values.append((p * (p / q).log()).sum())
    return torch.stack(values)


@pytest.mark.parametrize("side", [5, ROWS])
def test_as_published_where_the_grid_has_every_place(side: int) -> None:
    result, photo = activations(side, 1), activations(side)
    found = structural_distance(result, photo)
    assert found.min() > 0
    torch.testing.assert_close(found, published(result, photo), rtol=1e-3, atol=0)


def test_a_grid_estimates_the_sum() -> None:
    result, photo = activations(40, 1, batch=6), activations(40, batch=6)
    found, whole = structural_distance(result, photo), published(result, photo)
    torch.testing.assert_close(found, whole, rtol=0.1, atol=0)


def test_the_photograph_itself_is_at_zero() -> None:
    photo = activations()
    assert structural_distance(photo, photo).tolist() == [0, 0]


def test_resemblances_count_and_features_do_not() -> None:
    """Channels exchanged: other features everywhere, and the same products."""
    photo = activations()
    exchanged = structural_distance(photo.flip(1), photo)
    turned = structural_distance(photo.flip(3), photo)
    assert exchanged.max() < 1e-4 * turned.min()


def test_small_differences_are_not_rounding() -> None:
    """For nearly uniform distributions KL is quadratic: a tenth of a change is a hundredth."""
    photo, other = activations(scale=1.0), activations(seed=1, scale=1.0)
    near = structural_distance(photo + 0.001 * (other - photo), photo)
    nearer = structural_distance(photo + 0.0001 * (other - photo), photo)
    torch.testing.assert_close(near / nearer, torch.full_like(near, 100.0), rtol=0.1, atol=0)


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="pictures of one size"):
        structural_distance(activations(8), activations(9))
