"""Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018, LPIPS).

The published linear heads come with torchmetrics, the networks from this package's own loader.
Values depend on the network: those of AlexNet, VGG16 and SqueezeNet are three different metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.metrics.measures import OfPairs, PairBatch
from atelier.nn.picture_batches import refuse_small
from atelier.nn.pretrained.features import Features, load_features
from atelier.nn.pretrained.weights import StateDict, digest, read_weights

TAPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "squeezenet1_1": (
        "squeeze",
        ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"),
    ),
    "vgg16": ("vgg", ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")),
}
"""Network → the name of its file of linear heads, and the layers they weight."""
EPS = 1e-10
SMALLEST = 17
"""Smallest side in pixels: below it, the last pooling of SqueezeNet or VGG16 has no output."""


class Lpips(nn.Module):
    """LPIPS v0.1 on one network, frozen.

    Attributes:
        name: ``lpips-`` and the network's name.
        hash: digest of the network's and the heads' weights, to accompany every value.
    """

    def __init__(self, features: Features, heads: StateDict) -> None:
        super().__init__()
        self.name = f"lpips-{features.name}"
        self.hash = digest({**features.state_dict(), **heads})
        self.features = features
        self.heads = nn.ParameterList(heads[key] for key in sorted(heads)).requires_grad_(False)

    @torch.no_grad()
    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        """Return the distances (B,) of (B, 3, H, W) in [0, 1]: 0 if equal, rarely above 1.

        Channels are unit-normalised, their squared differences weighted (no weight is negative) and
        summed, averaged over positions and summed over layers (eq. 1). The published shift and
        scale of inputs in [-1, 1] are ImageNet's mean and deviation, which the features apply: ((2x
        - 1) + .030) / .458 = (x - .485) / .229.

        Raises:
            UserError: pictures of different or too small sizes.
        """
        _check(image, other)
        return self.distance(self.see(image), self.see(other))

    @torch.no_grad()
    def see(self, image: Tensor) -> list[Tensor]:
        """Return the layers' unit-normalised channels, (B, C, h, w) each, of (B, 3, H, W)."""
        return [_unit(layer) for layer in self.features(image).values()]

    @torch.no_grad()
    def distance(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
        """Return (B,) of what ``see`` found in two batches of pictures of one size."""
        layers = [
            (a - b).square().mul(head).sum(1).mean((1, 2))
            for a, b, head in zip(one, other, self.heads, strict=True)
        ]
        return torch.stack(layers).sum(0)


def load_lpips(name: str = "squeezenet1_1", device: str = "cpu") -> Lpips:
    """Load LPIPS on the network ``name``, one of ``TAPS``.

    Raises:
        UserError: another network, or missing weights.
    """
    if name not in TAPS:
        raise UserError(f"LPIPS has no heads for {name!r} here; it has them for {', '.join(TAPS)}")
    heads, layers = TAPS[name]
    return Lpips(load_features(name, layers), load_heads(heads)).to(device)


def load_heads(file: str) -> StateDict:
    """Load the published heads ``lin0`` …, (1, C, 1, 1) each; ``file`` is alex, vgg or squeeze."""
    spec = find_spec("torchmetrics")  # its location only: importing it would take seconds
    if spec is None or spec.origin is None:
        raise UserError("LPIPS needs torchmetrics, which brings its weights; install it")
    folder = Path(spec.origin).parent / "functional" / "image" / "lpips_models"
    state = read_weights(folder / f"{file}.pth")
    return {key.removesuffix(".model.1.weight"): value for key, value in state.items()}


def _unit(features: Tensor) -> Tensor:
    """Normalise the channels of every position to unit length; zeros stay zeros."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + EPS)


def _check(image: Tensor, other: Tensor) -> None:
    if image.shape != other.shape:
        shapes = f"{tuple(image.shape)} and {tuple(other.shape)}"
        raise UserError(f"LPIPS compares pictures of one size, got {shapes}")
    refuse_small("LPIPS", SMALLEST, image)


def _measure(batch: PairBatch) -> dict[str, Tensor]:
    network = batch.networks.lpips
    if network is None:
        return {}
    _check(batch.result.image, batch.photo.image)
    one, other = (stack.seen("lpips", network.see) for stack in (batch.result, batch.photo))
    return {"lpips": network.distance(one, other)}


MEASURE = OfPairs(_measure)
