"""Content and style distance: closed forms, the identity behind the set's, batches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics import perceptual
from atelier.metrics.perceptual import (
    STYLE_LAYERS,
    Perceived,
    content_distance,
    content_layer,
    perceive,
    perceptual_features,
    set_style_distance,
    style_distance,
    style_vector,
)
from atelier.nn.losses import STD_EPS, STYLE_LOSSES
from atelier.nn.pretrained.features import Features
from support.nets import quick_random


def pictures(batch: int, seed: int = 0, side: int = 48) -> Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=["mini", "random"])
def features(request: pytest.FixtureRequest) -> Iterator[Features]:
    with pytest.MonkeyPatch.context() as patch:
        quick_random(patch)
        yield perceptual_features(request.param)


def activations(seed: int = 0, batch: int = 2, scale: float = 1.0) -> dict[str, Tensor]:
    """Taps of widths 4, 8, … and sides 32, 16, …"""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((4 * 2**n, 32 >> n) for n in range(5))
    return {
        layer: scale * torch.rand(batch, width, side, side, generator=generator)
        for layer, (width, side) in zip(STYLE_LAYERS, sizes, strict=True)
    }


def test_the_content_layer() -> None:
    assert [content_layer(name) for name in ("mini", "vgg19", "random")] == [
        "relu4_1",
        "relu4_2",
        "relu4_2",
    ]


def test_a_picture_against_itself_is_at_zero(features: Features) -> None:
    seen = perceive(features, pictures(2))
    assert content_distance(seen, seen).tolist() == [0, 0]
    assert style_distance(seen.style, seen.style).tolist() == [0, 0]


def test_content_is_the_mean_square_of_its_layer(features: Features) -> None:
    image, photo = pictures(2), pictures(2, seed=1)
    layer = content_layer(features.name)
    expected = (features(image)[layer] - features(photo)[layer]).square().mean((1, 2, 3))
    found = content_distance(perceive(features, image), perceive(features, photo))
    assert found.shape == (2,)
    assert found.min() > 0
    torch.testing.assert_close(found, expected)


def test_style_is_the_mean_of_the_layers_of_adains_loss(features: Features) -> None:
    image, painting = pictures(2), pictures(1, seed=1)
    statistic, loss = STYLE_LOSSES["mean_std"]
    target, found = features(painting), features(image)
    layers = [loss(found[layer], statistic(target[layer])) for layer in STYLE_LAYERS]
    ours = style_distance(perceive(features, image).style, perceive(features, painting).style)
    assert ours.min() > 0
    torch.testing.assert_close(ours.float(), torch.stack(layers).mean(0), rtol=1e-4, atol=1e-7)


def test_style_in_closed_form() -> None:
    """Activations scaled by s and moved by t: Δμ = (s - 1)μ + t and Δσ = (s - 1)σ."""
    one = activations(batch=1)
    other = {layer: 3 * value + 0.5 for layer, value in one.items()}
    layers = []
    for value in one.values():
        mean, std = value.mean((2, 3)), (value.flatten(2).var(2) + STD_EPS).sqrt()
        layers.append((2 * mean + 0.5).square().mean() + (2 * std).square().mean())
    found = style_distance(style_vector(one), style_vector(other))
    assert found.item() == pytest.approx(torch.stack(layers).mean().item(), rel=1e-4)


def test_places_do_not_matter_to_style_and_do_to_content(features: Features) -> None:
    seen = activations()
    turned = {layer: value.flip(2, 3) for layer, value in seen.items()}
    assert style_distance(style_vector(seen), style_vector(turned)).max() < 1e-10
    image = perceive(features, pictures(1))
    assert content_distance(image, Perceived(image.content.flip(2), image.style)) > 0


def test_to_the_set_is_the_mean_to_its_paintings_less_their_spread() -> None:
    result, paintings = (style_vector(activations(seed, 5, 2.0)) for seed in (0, 1))
    each = torch.stack([style_distance(result, painting[None]) for painting in paintings]).mean(0)
    spread = (paintings - paintings.mean(0)).square().sum(1).mean()
    torch.testing.assert_close(set_style_distance(result, paintings), each - spread)
    assert set_style_distance(paintings.mean(0, keepdim=True), paintings).item() < 1e-20


def test_no_layer_is_nearly_all_of_it(features: Features) -> None:
    """With unit activations, for which they are there."""
    image, other = (features(pictures(1, seed)) for seed in (0, 1))
    same = {layer: {**other, layer: image[layer]} for layer in STYLE_LAYERS}
    whole = style_distance(style_vector(image), style_vector(other))
    shares = [
        1 - style_distance(style_vector(image), style_vector(s)) / whole for s in same.values()
    ]
    assert sum(float(share) for share in shares) == pytest.approx(1)
    assert max(float(share) for share in shares) < 0.8


def test_batches_change_nothing(features: Features) -> None:
    images, photos = pictures(3), pictures(3, seed=1)
    image, photo = perceive(features, images), perceive(features, photos)
    content, style = content_distance(image, photo), style_distance(image.style, photo.style)
    for n in range(3):
        one, its = perceive(features, images[n : n + 1]), perceive(features, photos[n : n + 1])
        torch.testing.assert_close(
            content_distance(one, its), content[n : n + 1], rtol=1e-4, atol=0
        )
        alone = style_distance(one.style, its.style)
        torch.testing.assert_close(alone, style[n : n + 1], rtol=1e-4, atol=0)


def test_pictures_of_two_sizes_have_style_and_no_content(features: Features) -> None:
    small, large = perceive(features, pictures(1)), perceive(features, pictures(1, side=64))
    assert style_distance(small.style, large.style).shape == (1,)
    with pytest.raises(ValueError, match="content needs pictures of one size"):
        content_distance(small, large)


def test_too_small_a_picture_has_no_deviations() -> None:
    with pytest.raises(UserError, match="at least 32 px"):
        perceive(perceptual_features("mini"), pictures(1, side=24))


def test_a_network_without_these_layers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(perceptual.CONTENT_LAYER, "mini", "relu4_2")
    with pytest.raises(UserError, match="mini has no layer 'relu4_2'"):
        perceptual_features("mini")
