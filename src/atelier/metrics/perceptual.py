"""Content distance to the photograph and style distance to paintings.

Shapes: B pictures (B, 3, H, W) in [0, 1] go through the network once (``perceive``); both distances
are (B,), at least 0, dimensionless, and comparable only on the same features (name and hash).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from atelier.metrics.embeddings import Stack
from atelier.metrics.measures import OfPairs, PairBatch
from atelier.nn.losses import content_loss, mean_std
from atelier.nn.picture_batches import SMALLEST, refuse_small
from atelier.nn.pretrained.features import Features, load_features

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = {"mini": "relu4_1"}
"""Content layers of networks where it is not ``relu4_2`` (Gatys et al. 2016, §2.3)."""


class Perceived(NamedTuple):
    """Features of B pictures.

    Attributes:
        content: activations of the content layer, (B, C, h, w).
        style: one vector per picture, (B, D), whose squared differences are style distances.
    """

    content: Tensor
    style: Tensor


def content_layer(name: str) -> str:
    """Return the content layer of the features called ``name``."""
    return CONTENT_LAYER.get(name, "relu4_2")


def perceptual_features(name: str, device: str = "cpu", embedding: str | None = None) -> Features:
    """Load the network ``name`` with the taps of both distances; VGGs with unit activations.

    Without those, the layers of a VGG differ by orders of magnitude, and one of them would dominate
    the style distance. ``embedding`` is one more layer, for ``Features.embed``.

    Raises:
        UserError: unknown features, missing weights, or a network without these layers.
    """
    wanted = [*STYLE_LAYERS, content_layer(name)]
    return load_features(name, wanted, unit_activations=True, embedding=embedding, device=device)


def perceive(features: Features, image: Tensor) -> Perceived:
    """Return the features of (B, 3, H, W) in [0, 1] for both distances, in one forward pass.

    Raises:
        UserError: pictures so small that the deepest layer has a single position, without
            deviation.
    """
    return perceived(features, activations(features, Stack(image)))


@torch.no_grad()
def activations(features: Features, stack: Stack) -> dict[str, Tensor]:
    """Return all layers of ``features``, in one pass for all who ask; raises as ``perceive``."""
    refuse_small("style", SMALLEST, stack.image)
    return stack.seen("perceptual", features)


def perceived(features: Features, found: Mapping[str, Tensor]) -> Perceived:
    """Return what both distances need of the activations."""
    return Perceived(found[content_layer(features.name)], style_vector(found))


def content_distance(result: Perceived, photo: Perceived) -> Tensor:
    """Return the mean squared difference of the content layer: (B,), 0 for the photograph itself.

    Gatys et al. 2016, eq. 1, as the mean over channels and positions instead of half the sum.

    Raises:
        ValueError: pictures of different sizes.
    """
    if result.content.shape != photo.content.shape:
        one, other = (tuple(p.content.shape) for p in (result, photo))
        raise ValueError(f"content needs pictures of one size; features are {one} and {other}")
    return content_loss(result.content, photo.content)


def style_vector(found: Mapping[str, Tensor]) -> Tensor:
    """Return (B, D) float64: scaled channel means and standard deviations of the layers.

    Each entry is divided by √(C·L), with C channels in its layer and L = 5 layers. So the squared
    distance of two vectors is the mean over the layers of mean_c (μ - μ')² + mean_c (σ - σ')²
    (Huang & Belongie 2017, eq. 13, as means). Moments instead of Gram matrices: the Gram distance
    grows with the fourth power of the activations, so that the strongest channels dominate it, and
    needs C² numbers per picture instead of 2C, few enough to store for every painting.
    """
    parts = []
    for layer in STYLE_LAYERS:
        both = torch.cat(mean_std(found[layer]), 1).double()
        parts.append(both / (both.shape[1] / 2 * len(STYLE_LAYERS)) ** 0.5)
    return torch.cat(parts, 1)


def style_distance(result: Tensor, painting: Tensor) -> Tensor:
    """Return the distance (B,) to each picture's painting: style vectors (B, D), (B, D) or (1, D).

    For systems that take one painting at a time; never in one column with ``set_style_distance``.
    """
    return (result - painting).square().sum(1)


def set_style_distance(result: Tensor, paintings: Tensor) -> Tensor:
    """Return the distance (B,) to the mean of all paintings: style vectors (B, D), (N, D).

    The mean of the distances to each of the N paintings is this plus the paintings' variance, which
    is the same for every system and left out: so 0 is the paintings' mean, not a set as diverse as
    they are, and this does not measure diversity.
    """
    return style_distance(result, paintings.mean(0, keepdim=True))


def _measure(batch: PairBatch) -> dict[str, Tensor]:
    """Return ``style_set`` and, for systems that take a painting, ``style``."""
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
