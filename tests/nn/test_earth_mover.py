"""The losses of STROTSS, by hand where sets are small and by their invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from atelier.nn.earth_mover import (
    DECORRELATED,
    colour_loss,
    cosine_distance,
    euclidean_distance,
    guided,
    moment_loss,
    relaxed_emd,
    self_similarity,
    self_similarity_loss,
)
from support.tensors import uniform


def test_cosine_distances_by_hand() -> None:
    a = torch.tensor([[[2.0, 0.0], [1.0, 1.0]]])
    b = torch.tensor([[[0.0, 3.0], [5.0, 0.0], [-1.0, 0.0]]])
    half = 1 - math.sqrt(0.5)
    expected = torch.tensor([[[1.0, 0.0, 2.0], [half, half, 1 + math.sqrt(0.5)]]])
    torch.testing.assert_close(cosine_distance(a, b), expected)


def test_euclidean_distances_are_over_the_root_of_the_width() -> None:
    a, b = torch.tensor([[[0.0, 0.0, 0.0]]]), torch.tensor([[[3.0, 4.0, 12.0], [0.0, 0.0, 0.0]]])
    found = euclidean_distance(a, b)[0, 0]
    torch.testing.assert_close(found[0], torch.tensor(13 / math.sqrt(3)))
    assert found[1] < 2e-3, "the root's floor"


def test_identical_sets_are_at_no_distance_in_any_order() -> None:
    features = uniform(2, 40, 7)
    shuffled = features[:, torch.randperm(40, generator=Generator().manual_seed(1))]
    assert relaxed_emd(cosine_distance(features, shuffled)).abs().max() < 1e-6
    assert relaxed_emd(cosine_distance(features, 3 * features)).abs().max() < 1e-6


def test_the_relaxed_distance_is_the_larger_of_both_directions() -> None:
    costs = torch.tensor([[[1.0, 4.0, 6.0], [2.0, 3.0, 9.0]]])
    # rows: (1 + 3) / 2... of minima 1 and 2; columns: minima 1, 3, 6
    assert relaxed_emd(costs).tolist() == [pytest.approx((1 + 3 + 6) / 3)]
    assert relaxed_emd(costs.mT).tolist() == [pytest.approx((1 + 3 + 6) / 3)]
    assert relaxed_emd(costs[:, :, :1]).tolist() == [pytest.approx(1.5)]


def test_it_never_exceeds_the_exact_distance() -> None:
    """Between sets of one size the exact one is the cheapest of all permutations."""
    costs = cosine_distance(uniform(1, 4, 3), uniform(1, 4, 3, seed=1))
    orders = torch.cartesian_prod(*[torch.arange(4)] * 4)
    orders = orders[[len(set(row.tolist())) == 4 for row in orders]]
    exact = costs[0][torch.arange(4), orders].mean(1).min()
    assert 0 < relaxed_emd(costs)[0] <= exact + 1e-6


def test_a_position_that_may_match_nothing_is_left_out() -> None:
    inf = math.inf
    costs = torch.tensor([[[1.0, inf], [inf, inf]], [[inf, inf], [inf, inf]]], requires_grad=True)
    found = relaxed_emd(costs)
    assert found.tolist() == [1.0, 0.0]
    (gradient,) = torch.autograd.grad(found.sum(), costs)
    assert gradient.isfinite().all()


def test_guidance_by_hand() -> None:
    costs = torch.arange(1.0, 13).view(1, 3, 4)
    output, painting = torch.tensor([[0, 1, -1]]), torch.tensor([[0, 1, -1, 0]])
    inf = math.inf
    expected = [[5.0, inf, inf, 20.0], [inf, 30.0, inf, inf], [9.0, 10.0, 11.0, 12.0]]
    assert guided(costs, output, painting).tolist() == [expected]
    assert guided(costs, output, painting, 1.0)[0, 0, 0] == 1


def test_a_region_without_a_counterpart_guides_nothing() -> None:
    costs = torch.ones(1, 2, 2)
    found = guided(costs, torch.tensor([[0, 7]]), torch.tensor([[0, 0]]))
    assert found.tolist() == [[[5.0, 5.0], [1.0, 1.0]]]


def test_guidance_decides_what_is_matched() -> None:
    """Without it each position takes its like; with it what its region says."""
    a = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    crossed = guided(cosine_distance(a, a), torch.tensor([[0, 1]]), torch.tensor([[1, 0]]))
    assert relaxed_emd(cosine_distance(a, a)).item() == 0
    assert relaxed_emd(crossed).item() == 5


def test_moments_by_hand() -> None:
    """Means (1, 0) and (0, 0), covariances diag(1, 4) and diag(0, 4): 1/2 + 1/4."""
    features = torch.tensor([[[0.0, 2.0], [2.0, 2.0], [0.0, -2.0], [2.0, -2.0]]])
    target = torch.tensor([[[0.0, 2.0], [0.0, -2.0]]])
    assert moment_loss(features, target).tolist() == [pytest.approx(0.5 + 0.25)]
    assert moment_loss(features, features.flip(1)).item() == pytest.approx(0, abs=1e-6)


def test_colours_are_decorrelated_by_a_rotation() -> None:
    matrix = torch.tensor(DECORRELATED)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3), atol=1e-6, rtol=0)
    grey = matrix @ torch.tensor([0.5, 0.5, 0.5])
    assert grey[1:].abs().max() < 1e-6


def test_the_colour_loss_of_two_single_colours_by_hand() -> None:
    """A rotation changes neither lengths nor angles: |a - b| / √3 + 1 - cos."""
    a, b = torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 1.0, 0.0]]])
    assert colour_loss(a, b).item() == pytest.approx(math.sqrt(2 / 3) + 1, rel=1e-5)
    palette = uniform(1, 30, 3)
    assert colour_loss(palette, palette.flip(1)).item() < 3e-3


def test_self_similarity_ignores_what_all_positions_share() -> None:
    """Scale, and any rotation of feature space: the content may change all its features."""
    features = uniform(2, 30, 6)
    basis, _ = torch.linalg.qr(uniform(6, 6, seed=1))
    target = self_similarity(features)
    for changed in (3 * features, features @ basis):
        assert self_similarity_loss(changed, target).max() < 1e-3
    assert self_similarity_loss(uniform(2, 30, 6, seed=2), target).min() > 0.1


def test_self_similarity_by_hand() -> None:
    features = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    expected = torch.tensor([[0, 1 / 2, 2 / 3], [1 / 3, 0, 1 / 3], [2 / 3, 1 / 2, 0]])
    torch.testing.assert_close(self_similarity(features)[0], expected, atol=1e-3, rtol=0)
    other = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    # its columns: (0, ½, ½), (1, 0, 0), (1, 0, 0)
    differences = [2 / 6 + 0, 1 / 2 + 1 / 2, 1 / 3 + 1 / 3]
    found = self_similarity_loss(other, expected[None])
    assert found.item() == pytest.approx(sum(differences) / 3, abs=3e-3)


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_sets_of_one_feature_have_finite_losses_and_gradients(value: float) -> None:
    flat = torch.full((1, 20, 3), value, requires_grad=True)
    other = uniform(1, 30, 3)
    losses = [
        relaxed_emd(cosine_distance(flat, other)),
        moment_loss(flat, other),
        colour_loss(flat, other),
        colour_loss(flat, flat.detach()),
        self_similarity_loss(flat, self_similarity(uniform(1, 20, 3))),
        self_similarity_loss(flat, self_similarity(flat.detach())),
    ]
    total = torch.stack(losses).sum()
    assert total.isfinite()
    assert torch.autograd.grad(total, flat)[0].isfinite().all()


def test_everything_is_computed_in_float32_under_bfloat16() -> None:
    a, b = uniform(1, 20, 3), uniform(1, 20, 3, seed=1)

    def values() -> list[Tensor]:
        costs = cosine_distance(a, b)
        target = self_similarity(b)
        return [
            relaxed_emd(costs), moment_loss(a, b), colour_loss(a, b), euclidean_distance(a, b),
            self_similarity_loss(a, target),
        ]  # fmt: skip

    exact = values()
    with torch.autocast("cpu", torch.bfloat16):
        rough = values()
    for one, other in zip(exact, rough, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one)


def test_pictures_of_a_batch_do_not_mix() -> None:
    a, b = uniform(3, 20, 3), uniform(3, 25, 3, seed=1)
    for loss in (lambda x, y: relaxed_emd(cosine_distance(x, y)), moment_loss, colour_loss):
        together = loss(a, b)
        for n in range(3):
            torch.testing.assert_close(loss(a[n : n + 1], b[n : n + 1])[0], together[n])
