"""Calibration of a VGG's layers on a seeded picture, for trained and for random kernels."""

from __future__ import annotations

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SEED = 0


@torch.no_grad()
def normalise_activations(chain: nn.Sequential) -> None:
    """Scale the convolutions of a VGG so that every ReLU's mean output is one.

    The published families differ by two orders of magnitude in scale (Caffe's VGG19 answers to
    0-255 pixels), so loss weights would not transfer between them. After Gatys et al. 2016,
    §2; unlike there, one factor per layer, not per filter, and measured on a smooth seeded picture
    instead of ImageNet. Apart from those factors, the activations are unchanged.
    """
    # A network loaded within a training step would be measured under its autocast.
    with torch.autocast("cpu", enabled=False):
        value, scale = _smooth_noise(torch.Generator().manual_seed(SEED)), 1.0
        for layer in chain:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                layer.weight.mul_(scale)  # its input was divided by the previous scale
                scale = layer(value).relu().mean().item()
                layer.weight.div_(scale)
                layer.bias.div_(scale)
            value = layer(value)


@torch.no_grad()
def activation_scale(chain: nn.Sequential) -> float:
    """Return the geometric mean of all ReLUs' mean outputs on a smooth seeded picture.

    About 1 for torchvision's weights; some 100 for Caffe's, which answer to 0-255 pixels.
    """
    with torch.autocast("cpu", enabled=False):
        value, means = _smooth_noise(torch.Generator().manual_seed(SEED)), list[Tensor]()
        for layer in chain:
            value = layer(value)
            if isinstance(layer, nn.ReLU):
                means.append(value.mean().clamp_min(1e-12).log())
    return torch.stack(means).mean().exp().item()


def random_vgg19(seed: int = SEED) -> nn.Sequential:
    """Return VGG19's layers with seeded Gaussian kernels, calibrated to unit second moment.

    Random VGG features carry texture (He, Wang & Hopcroft 2016, "A powerful generative model using
    random weights"), but their distances are only comparable with each other. Each channel is
    scaled on a smooth seeded picture (as LSUV, Mishkin & Matas 2016) so that all layers count
    equally. Drawn and calibrated in float64 with rounded factors: processors differ in the last
    bits of a float32, and the hash must be equal on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):  # skip an initialisation that is overwritten
        models = importlib.import_module("torchvision.models")  # see weights.published_url
        chain: nn.Sequential = models.vgg19(weights=None, init_weights=False).features
    chain = chain.double().to_empty(device="cpu").requires_grad_(False)
    value = _smooth_noise(generator, torch.float64)
    for layer in chain:
        if isinstance(layer, nn.Conv2d):
            _calibrate(layer, value, generator)
        value = layer(value)
    return chain.float()


def _smooth_noise(generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return (4, 3, 64, 64) noise with detail at all scales and unit variance."""
    sides = (2, 4, 8, 16, 32, 64)
    octaves = [torch.randn(4, 3, n, n, generator=generator, dtype=dtype) for n in sides]
    total = torch.stack([F.interpolate(o, 64, mode="bilinear") for o in octaves]).sum(0)
    return total / total.std()


def _calibrate(layer: nn.Conv2d, value: Tensor, generator: torch.Generator) -> None:
    if layer.bias is None:
        raise TypeError("VGG's convolutions have biases")
    layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64))
    layer.bias.zero_()
    spread = layer(value).square().mean((0, 2, 3)).sqrt()  # per channel
    layer.weight.div_(torch.round(spread, decimals=2).view(-1, 1, 1, 1))
