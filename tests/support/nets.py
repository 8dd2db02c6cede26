"""Small networks in place of the published ones, made once per session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from atelier.metrics.evaluator import Evaluator
from atelier.metrics.measures import PerceptualNetworks
from atelier.metrics.perceptual import STYLE_LAYERS, content_layer
from atelier.nn.pretrained import calibration, features
from atelier.nn.pretrained.features import Features, load_features
from atelier.nn.pretrained.weights import StateDict


@cache
def _random_state() -> StateDict:
    return calibration.random_vgg19().state_dict()


def random_chain() -> nn.Sequential:
    """What ``random_vgg19`` makes, without making it again."""
    with torch.device("meta"):
        chain: nn.Sequential = models.vgg19(weights=None).features
    chain.load_state_dict({k: v.clone() for k, v in _random_state().items()}, assign=True)
    return chain.requires_grad_(False)


def quick_random(patch: pytest.MonkeyPatch) -> None:
    """Let ``load_features("random", …)`` take the chain made before."""
    patch.setattr(features, "random_vgg19", random_chain)


@cache
def random_features(*layers: str, unit_activations: bool = False) -> Features:
    """``load_features("random", layers)``, kept for the session; treat as read-only."""
    with pytest.MonkeyPatch.context() as patch:
        quick_random(patch)
        return load_features("random", layers, unit_activations=unit_activations)


class Difference:
    """In place of LPIPS, whose weights are not there."""

    name, hash = "lpips-difference", "0123456789ab"

    def see(self, image: Tensor) -> list[Tensor]:
        return [image]

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        return (one[0] - other[0]).abs().mean((1, 2, 3))


def evaluator() -> Evaluator:
    """Scores by random features."""
    perceptual = random_features(*STYLE_LAYERS, content_layer("random"), unit_activations=True)
    return Evaluator(
        random_features("relu2_1"), PerceptualNetworks(perceptual, None, "cpu"), batch=8
    )


def vgg_state(name: str, seed: int = 0) -> StateDict:
    """Seeded weights with the names and shapes of the published ``features.*``."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in getattr(models, name)().features.state_dict().items()}
    generator = torch.Generator().manual_seed(seed)

    def make(shape: torch.Size) -> Tensor:
        fan_in = shape[1:].numel() if len(shape) == 4 else 100
        return torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5

    return {f"features.{key}": make(shape) for key, shape in shapes.items()}


def answer_with(state: StateDict) -> Callable[[str], StateDict]:
    """Stands in for ``resolve``: any name has these weights, each time fresh ones."""
    return lambda _: {key: value.clone() for key, value in state.items()}
