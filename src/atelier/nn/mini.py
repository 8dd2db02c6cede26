"""``mini``: a small perceptual encoder of our own, shipped in the package.

A VGG-like stack with 1.4 million parameters. Its five taps bear the names of the VGG19 layers they
were taught by (``atelier.distill``): strides 1, 2, 4, 8, 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.nn.weights import IMAGENET_MEAN, IMAGENET_STD, StateDict, load_strictly

WIDTHS = {"relu1_1": 32, "relu2_1": 64, "relu3_1": 128, "relu4_1": 160, "relu5_1": 208}
"""Tap → channels. The stride doubles from one to the next."""


class Stage(nn.Module):
    """Halve the sides, then two 3×3 convolutions.

    Unlike VGG: average pooling and a smooth activation, so that a picture optimised against the
    network gets a gradient at every pixel and no high-frequency pattern goes unseen for free.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, value: Tensor) -> Tensor:
        """(B, C, H, W) to (B, width, H/2, W/2)."""
        value = F.silu(self.first(F.avg_pool2d(value, 2)))
        return F.silu(self.second(value))


class Mini(nn.Module):
    """The network; input is RGB in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        names = self.taps = tuple(WIDTHS)
        # Repeating the rim instead of zeros: optimised pictures keep no dark frame.
        self.stem = nn.Conv2d(3, WIDTHS[names[0]], 3, padding=1, padding_mode="replicate")
        steps = pairwise(names)
        self.stages = nn.ModuleDict({b: Stage(WIDTHS[a], WIDTHS[b]) for a, b in steps})
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            # On the CPU whatever the default device: networks are built on `meta` before loading.
            value = torch.tensor(values, device="cpu").view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1] to the tapped activations."""
        value = F.silu(self.stem((image - self.mean) / self.std))
        found = {"relu1_1": value}
        for tap, stage in self.stages.items():
            value = found[tap] = stage(value)
        return {tap: found[tap] for tap in self.taps}

    def cut(self, taps: Sequence[str]) -> None:
        """Keep only what ``taps`` need, and give only them."""
        names = list(WIDTHS)
        deepest = max(names.index(tap) for tap in taps)
        self.taps = tuple(taps)
        for tap in names[deepest + 1 :]:
            del self.stages[tap]


def mini_network(state: StateDict, layers: Sequence[str]) -> Mini:
    """The network with the weights of ``state`` (kept as float16), tapped at ``layers``."""
    for layer in layers:
        if layer not in WIDTHS:
            raise UserError(f"mini has no layer {layer!r}; it has {', '.join(WIDTHS)}")
    with torch.device("meta"):
        network = Mini()
    load_strictly(network, {key: value.float() for key, value in state.items()}, "mini")
    network.cut(layers)
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def initialise(network: Mini, seed: int) -> None:
    """Draw He's normal weights (He et al. 2015) from a generator of its own; biases are zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
