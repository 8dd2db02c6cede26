"""Nearest neighbours by centred cosine: constructed features, brute force, gradients."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from atelier.nn import nearest_neighbours
from atelier.nn.nearest_neighbours import (
    cosine_loss,
    cosine_loss_in_parts,
    directions,
    flatten,
    nearest,
    neighbour_loss,
    replace_features,
    rotations,
    stacked_layers,
)
from support.tensors import normal, uniform


def distances(content: Tensor, style: Tensor) -> Tensor:
    """Centred cosine distances of (N, D) and (M, D), one by one."""
    a, b = content - content.mean(0), style - style.mean(0)
    pairs = [[1 - torch.cosine_similarity(x, y, dim=0) for y in b] for x in a]
    return torch.tensor(pairs)


def test_every_feature_becomes_the_nearest_of_the_painting() -> None:
    content, style = normal(2, 15, 5), normal(2, 23, 5, seed=1)
    found = replace_features(content, lambda: [style])
    for n in range(2):
        expected = style[n][distances(content[n], style[n]).argmin(1)]
        assert torch.equal(found[n], expected)


def test_constructed_features_find_their_partner() -> None:
    """Scaled, moved and shuffled alike: a centred cosine sees none of it."""
    style = normal(1, 30, 8)
    order = torch.randperm(30, generator=Generator().manual_seed(2))
    content = 5 * style[:, order] + 3
    assert torch.equal(replace_features(content, lambda: [style]), style[:, order])


def test_parts_are_searched_as_if_they_were_one() -> None:
    content, style = normal(2, 15, 5), normal(2, 24, 5, seed=1)
    whole = replace_features(content, lambda: [style])
    assert torch.equal(replace_features(content, lambda: style.split([7, 12, 5], 1)), whole)


def test_the_matrix_is_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    content, style = normal(2, 15, 5), normal(2, 23, 5, seed=1)
    whole = nearest(content, F.normalize(style, dim=2))
    monkeypatch.setattr(nearest_neighbours, "CHUNK", 100)
    parts = nearest(content, F.normalize(style, dim=2))
    torch.testing.assert_close(parts[0], whole[0])
    assert torch.equal(parts[1], whole[1])


def test_rotations_are_the_four_quarter_turns() -> None:
    image = torch.arange(6.0).view(1, 1, 2, 3)
    turned = list(rotations(image))
    assert [tuple(part.shape[2:]) for part in turned] == [(2, 3), (3, 2), (2, 3), (3, 2)]
    assert torch.equal(turned[0], image)
    assert turned[2][0, 0].tolist() == [[5, 4, 3], [2, 1, 0]]
    assert turned[1][0, 0].tolist() == [[2, 5], [1, 4], [0, 3]]


def test_hypercolumns_weigh_each_layer_by_its_width() -> None:
    layers = [torch.ones(1, 2, 8, 8), torch.ones(1, 4, 2, 2)]
    found = stacked_layers(layers, (4, 3))
    assert found.shape == (1, 12, 6)
    assert found[0, 0].tolist() == [0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_flatten_keeps_the_order_of_positions() -> None:
    layer = normal(1, 3, 4, 5)
    assert torch.equal(flatten(layer)[0, 7], layer[0, :, 1, 2])


def test_the_neighbour_loss_is_the_mean_of_the_least_distances_with_its_gradient() -> None:
    features, style = normal(2, 12, 5).requires_grad_(), normal(2, 20, 5, seed=1)
    found = neighbour_loss(features, style)
    centred = features - features.mean(1, keepdim=True)
    reference = style - style.mean(1, keepdim=True)
    normed = [torch.nn.functional.normalize(part, dim=2) for part in (centred, reference)]
    expected = (1 - normed[0] @ normed[1].mT).amin(2).mean(1)
    torch.testing.assert_close(found, expected)
    weights = torch.tensor([1.0, 2.0])
    ours, theirs = (
        torch.autograd.grad((loss * weights).sum(), features)[0] for loss in (found, expected)
    )
    torch.testing.assert_close(ours, theirs)


def test_the_cosine_loss_is_not_centred() -> None:
    features = normal(1, 6, 4)
    assert cosine_loss(features, 2 * features).abs().max() < 1e-6
    assert cosine_loss(features, features + 3).min() > 0.01


def test_the_cosine_loss_keeps_no_copy_of_the_features() -> None:
    """Their norms and what is given do for the gradient, which is that of torch's cosine."""
    features, target = uniform(2, 9, 40).requires_grad_(), uniform(2, 9, 40, seed=1)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        loss = cosine_loss(features, target)
    large = {part.data_ptr() for part in kept if part.numel() == features.numel()}
    assert large <= {features.data_ptr(), target.data_ptr()}
    wanted = (1 - F.cosine_similarity(features, target, dim=2)).mean(1)
    torch.testing.assert_close(loss, wanted)
    (found,) = torch.autograd.grad(loss.sum(), features)
    torch.testing.assert_close(found, *torch.autograd.grad(wanted.sum(), features))


def test_the_cosine_loss_in_parts_is_that_of_the_whole_with_its_gradient() -> None:
    features, target = normal(2, 9, 12).requires_grad_(), normal(2, 9, 12, seed=1)
    whole = cosine_loss(features, target)
    parts = cosine_loss_in_parts(features.split([3, 8, 1], 2), target.split([3, 8, 1], 2))
    torch.testing.assert_close(parts, whole)
    ours, theirs = (torch.autograd.grad(loss.sum(), features)[0] for loss in (parts, whole))
    torch.testing.assert_close(ours, theirs)


def test_of_the_paintings_parts_one_is_held_at_a_time() -> None:
    """Rotations of a large painting are gigabytes each."""
    held: list[weakref.ref[Tensor]] = []

    def parts() -> Iterator[Tensor]:
        for seed in range(4):
            assert sum(one() is not None for one in held) <= 1
            part = normal(1, 9, 4, seed=seed)
            held.append(weakref.ref(part))
            yield part
            del part

    assert replace_features(normal(1, 6, 4, seed=9), parts).shape == (1, 6, 4)
    assert len(held) == 8


def test_sets_of_one_feature_stay_finite() -> None:
    flat = torch.full((1, 9, 4), 0.3, requires_grad=True)
    total = neighbour_loss(flat, normal(1, 5, 4)) + cosine_loss(flat, torch.zeros(1, 9, 4))
    assert total.isfinite().all()
    assert torch.autograd.grad(total.sum(), flat)[0].isfinite().all()
    assert replace_features(flat.detach(), lambda: [torch.zeros(1, 5, 4)]).isfinite().all()


def test_under_autocast_neighbours_are_searched_in_bfloat16_and_losses_are_not() -> None:
    content, style = normal(1, 300, 16), normal(1, 400, 16, seed=1)
    exact, whole = replace_features(content, lambda: [style]), neighbour_loss(content, style)
    with torch.autocast("cpu", torch.bfloat16):
        found = replace_features(content, lambda: [style])
        loss = neighbour_loss(content, style)
    others = (found != exact).any(2)
    assert 0 < others.float().mean() < 0.2
    query = F.normalize(content - content.mean(1, keepdim=True), dim=2)
    missed = [(query * directions(x, style.mean(1, keepdim=True))).sum(2) for x in (exact, found)]
    assert (missed[0] - missed[1]).max() < 0.01
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, whole, rtol=2e-3, atol=0)
