"""``mini``: a small perceptual encoder, distilled from VGG19 and shipped in the package.

A VGG-like stack with 1.5 million parameters. Its five taps have the names of the VGG19 layers they
were distilled from (``tools.mini``): strides 1, 2, 4, 8, 16. A sixth layer, ``vector``, is the
feature vector of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.nn.pretrained.weights import IMAGENET_MEAN, IMAGENET_STD, StateDict, load_strictly

WIDTHS = {"relu1_1": 32, "relu2_1": 64, "relu3_1": 128, "relu4_1": 160, "relu5_1": 208}
"""Tap → channels. The stride doubles from one to the next."""
VECTOR, LENGTH = "vector", 96
LAYERS = (*WIDTHS, VECTOR)


class Stage(nn.Module):
    """Stage of the network: average pooling, then two 3×3 convolutions.

    Unlike VGG: average pooling and a smooth activation, so that a picture optimised against the
    network gets a gradient at every pixel and high-frequency patterns are penalised.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, width, H/2, W/2)."""
        value = F.silu(self.first(F.avg_pool2d(value, 2)))
        return F.silu(self.second(value))


def statistics(taps: Mapping[str, Tensor]) -> Tensor:
    """Return mean and std of every channel of all taps, over the positions: (B, 2·ΣC)."""
    flat = [value.float().flatten(2) for value in taps.values()]
    return torch.cat([part for f in flat for part in (f.mean(2), f.std(2, correction=0))], 1)


class Vector(nn.Module):
    """Affine map of ``statistics`` that approximates VGG19's pooled vector, truncated.

    For VGG19 a layer's spatial mean is the feature vector, but relu5_1 of this network orders sets
    of pictures less like VGG19. Fitted in closed form (``tools.mini.head``) and never trained,
    hence buffers.
    """

    shift: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        inputs = 2 * sum(WIDTHS.values())
        self.register_buffer("shift", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("weight", torch.zeros(LENGTH, inputs))
        self.register_buffer("bias", torch.zeros(LENGTH))

    def project(self, known: Tensor) -> Tensor:
        """Map (B, 2·ΣC) statistics to (B, ``LENGTH``)."""
        with torch.autocast(known.device.type, enabled=False):  # long sums
            return ((known - self.shift) / self.scale) @ self.weight.mT + self.bias

    def forward(self, taps: Mapping[str, Tensor]) -> Tensor:
        """Map all taps to (B, ``LENGTH``, 1, 1)."""
        return self.project(statistics(taps))[..., None, None]


class Mini(nn.Module):
    """The encoder; input is RGB in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        names = self.taps = tuple(WIDTHS)
        # Replicate instead of zero padding, so that optimised pictures have no dark frame.
        self.stem = nn.Conv2d(3, WIDTHS[names[0]], 3, padding=1, padding_mode="replicate")
        steps = pairwise(names)
        self.stages = nn.ModuleDict({b: Stage(WIDTHS[a], WIDTHS[b]) for a, b in steps})
        self.vector = Vector()
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            # On the CPU whatever the default device: networks are built on `meta` before loading.
            value = torch.tensor(values, device="cpu").view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) in [0, 1] to the selected layers."""
        value = F.silu(self.stem((image - self.mean) / self.std))
        found = {"relu1_1": value}
        for tap, stage in self.stages.items():
            value = found[tap] = stage(value)
        if VECTOR in self.taps:
            found[VECTOR] = self.vector(found)
        return {tap: found[tap] for tap in self.taps}

    def cut(self, layers: Sequence[str]) -> None:
        """Keep only what ``layers`` need, and return only those."""
        self.taps = tuple(layers)
        deepest = max(LAYERS.index(layer) for layer in layers)
        for tap in LAYERS[deepest + 1 : -1]:
            del self.stages[tap]
        if VECTOR not in layers:
            del self.vector


def mini_network(state: StateDict, layers: Sequence[str]) -> Mini:
    """Return the network with the weights of ``state`` (stored as float16), tapped at ``layers``.

    Raises:
        UserError: an unknown layer, or incompatible weights.
    """
    for layer in layers:
        if layer not in LAYERS:
            raise UserError(f"mini has no layer {layer!r}; it has {', '.join(LAYERS)}")
    with torch.device("meta"):
        network = Mini()
    load_strictly(network, {key: value.float() for key, value in state.items()}, "mini")
    network.cut(layers)
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def initialise(network: Mini, seed: int) -> None:
    """Initialise by He's normal weights (He et al. 2015), seeded; biases are zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
