"""What the tests of the systems that optimise pictures share: small ones, and their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from atelier.methods.base import Iterate
from atelier.methods.gatys import Gatys
from atelier.methods.nnst import Nnst
from atelier.methods.optimisation import Optimisation
from atelier.methods.strotss import Strotss
from atelier.nn.pretrained.features import Features
from support.nets import random_features

LAYERS = ("relu1_1", "relu2_1")
SMALL: dict[type[Optimisation[Any]], dict[str, Any]] = {
    Gatys: {"content_layers": ["relu2_1"], "style_layers": LAYERS},
    Strotss: {"layers": LAYERS, "samples": 100, "steps": 3},
    Nnst: {"layers": LAYERS, "steps": 2, "palette": False},
}
M = TypeVar("M", bound=Optimisation[Any])


def small(kind: type[M], seed: int = 0, features: Features | None = None, **settings: Any) -> M:
    """Two shallow layers of the random network: fast, and its gradients are those of any VGG."""
    block = {"features": "random", "fill_batch": False}  # no time for pictures thrown away
    block |= SMALL[kind] | settings
    net = features or random_features(*LAYERS, unit_activations=True)
    where = f"methods.{kind.__name__.lower()}"
    return kind(kind.Settings.build(block, where), net, seed, "cpu")


def run(method: Optimisation[Any], content: Tensor, style: Tensor) -> list[Iterate]:
    return list(method.iterates(content, style))


def total(iterate: Iterate) -> Tensor:
    return iterate.losses["total"]


def check_gradients(
    objective: Callable[[slice], Callable[[Tensor], Mapping[str, Tensor]]],
    image: Tensor,
    tolerance: float,
) -> None:
    """Losses and gradients of a batch are those of its pictures; ``objective`` is of some of it."""

    def gradient(which: slice) -> Tensor:
        leaf = image[which].clone().requires_grad_()
        losses = objective(which)(leaf)
        assert losses["total"].shape == (len(leaf),)
        return torch.autograd.grad(losses["total"].sum(), leaf)[0]

    together = gradient(slice(None))
    for n in range(len(image)):
        alone = gradient(slice(n, n + 1))[0]
        assert (together[n] - alone).norm() < tolerance * alone.norm()
