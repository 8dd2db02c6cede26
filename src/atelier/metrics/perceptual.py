"""Content and style distance: what a picture kept of its photograph and took of a painting.

Shapes: B pictures (B, 3, H, W) in [0, 1] go through the network once (``perceive``); both distances
are (B,), at least 0, without unit, and comparable only for the same features (name and hash).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.embeddings import Stack
from atelier.metrics.measures import OfPairs, PairBatch
from atelier.nn.losses import content_loss, mean_std
from atelier.nn.pretrained.features import Features, load_features

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = {"mini": "relu4_1"}
"""Where it is not ``relu4_2`` (Gatys et al. 2016, §2.3, here on VGG19)."""
SMALLEST = 32
"""Pixels a side: at stride 16, two by two positions."""


class Perceived(NamedTuple):
    """What a network sees of B pictures.

    Attributes:
        content: activations of the content layer, (B, C, h, w).
        style: one vector per picture, (B, D), whose squared differences are style distances.
    """

    content: Tensor
    style: Tensor


def content_layer(name: str) -> str:
    """The content layer of the features called ``name``."""
    return CONTENT_LAYER.get(name, "relu4_2")


def perceptual_features(name: str, device: str = "cpu", embedding: str | None = None) -> Features:
    """The network ``name`` with the taps both distances need; VGGs with unit activations.

    ``embedding`` is one more layer, for ``Features.embed``, out of the same pass.

    Without those the layers of a VGG differ by orders of magnitude, and one of them would be all
    of the style distance.

    Raises:
        UserError: unknown features, missing weights, or a network without these layers.
    """
    wanted = [*STYLE_LAYERS, content_layer(name)]
    return load_features(name, wanted, unit_activations=True, embedding=embedding, device=device)


def perceive(features: Features, image: Tensor) -> Perceived:
    """(B, 3, H, W) in [0, 1] to what both distances need, with one pass of the network.

    Raises:
        UserError: pictures so small that the deepest layer has one position, which has no spread.
    """
    return perceived(features, activations(features, Stack(image)))


@torch.no_grad()
def activations(features: Features, stack: Stack) -> dict[str, Tensor]:
    """All layers of ``features``, which look at the pictures once; raises as ``perceive`` does."""
    image = stack.image
    if min(image.shape[2:]) < SMALLEST:
        height, width = image.shape[2:]
        raise UserError(f"style needs pictures of at least {SMALLEST} px, got {width}×{height}")
    return stack.seen("perceptual", features)


def perceived(features: Features, found: Mapping[str, Tensor]) -> Perceived:
    """What both distances need of the activations."""
    return Perceived(found[content_layer(features.name)], style_vector(found))


def content_distance(result: Perceived, photo: Perceived) -> Tensor:
    """Mean squared difference of the content layer: (B,), 0 for an untouched photograph.

    Gatys et al. 2016, eq. 1, as a mean over channels and positions instead of half the sum.

    Raises:
        ValueError: pictures of different sizes, whose positions have no counterpart.
    """
    if result.content.shape != photo.content.shape:
        one, other = (tuple(p.content.shape) for p in (result, photo))
        raise ValueError(f"content needs pictures of one size; features are {one} and {other}")
    return content_loss(result.content, photo.content)


def style_vector(found: Mapping[str, Tensor]) -> Tensor:
    """(B, D) float64 of the layers' activations: scaled channel means and standard deviations.

    Each entry is over √(C·L), C being its layer's channels and L = 5 the layers. So the squared
    length of a difference of two vectors is the mean over the layers of
    mean_c (μ - μ')² + mean_c (σ - σ')² (Huang & Belongie 2017, eq. 13, as means).
    Moments instead of Gram matrices: the Gram distance grows with the fourth power of the
    activations, so that its strongest channels are nearly all of it, and has C² numbers a picture
    where this has 2C, few enough to keep for every painting.
    """
    parts = []
    for layer in STYLE_LAYERS:
        both = torch.cat(mean_std(found[layer]), 1).double()
        parts.append(both / (both.shape[1] / 2 * len(STYLE_LAYERS)) ** 0.5)
    return torch.cat(parts, 1)


def style_distance(result: Tensor, painting: Tensor) -> Tensor:
    """To each picture's own painting: style vectors (B, D) and (B, D) or (1, D) to (B,).

    For systems that imitate one painting at a time; never in one column with
    ``set_style_distance``.
    """
    return (result - painting).square().sum(1)


def set_style_distance(result: Tensor, paintings: Tensor) -> Tensor:
    """To all paintings, by their averaged moments: style vectors (B, D) and (N, D) to (B,).

    The mean of the distances to each of the N paintings is this plus the paintings' spread, the
    same number for every system, which is left out: so 0 is the paintings' average, not a set as
    varied as they are, and this says nothing about variety.
    """
    return style_distance(result, paintings.mean(0, keepdim=True))


def _measure(batch: PairBatch) -> dict[str, Tensor]:
    """``style_set`` and ``style`` answer different questions; the latter only for imitators."""
    network = batch.networks.perceptual
    seen, photo = (
        perceived(network, activations(network, stack)) for stack in (batch.result, batch.photo)
    )
    found = {"content": content_distance(seen, photo)}
    vectors = seen.style.cpu()
    found["style_set"] = set_style_distance(vectors, batch.paintings)
    if batch.painting is not None:
        found["style"] = style_distance(vectors, batch.painting)
    return found


MEASURE = OfPairs(_measure)
