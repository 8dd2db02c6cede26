"""Frozen perceptual networks, asked for by name and tapped by layer name.

Shapes: B pictures, C channels, H×W positions. Input is RGB in [0, 1]; every network normalises
inside, as it was trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from atelier.config import UserError
from atelier.nn.inception import fid_network, inception_network
from atelier.nn.weights import IMAGENET_MEAN, IMAGENET_STD, StateDict, digest, resolve

Pooling = Literal["max", "average", "l2"]
NAMES = ("vgg16", "vgg19", "squeezenet1_1", "inception_v3", "inception_fid", "random")
VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
EMBEDDING_LAYER = {
    "inception_fid": "pool3",
    "inception_v3": "Mixed_7c",
    "squeezenet1_1": "fire9",
    "random": "relu4_1",
}
"""The layer whose spatial mean stands for a picture in distances; relu5_1 for the VGGs."""
RANDOM_SEED = 0


class Features(nn.Module):
    """A frozen network; calling it gives the activations of the layers it was asked for.

    Attributes:
        name: the name it was asked for by.
        hash: digest of all its weights, to be written beside every number it produced.
        layers: what it was asked for.
    """

    def __init__(
        self, name: str, network: nn.Module, weights_hash: str, layers: Sequence[str]
    ) -> None:
        super().__init__()
        self.name, self.hash, self.layers = name, weights_hash, tuple(layers)
        self.network = network.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1] to layer name → (B, C, h, w)."""
        found: dict[str, Tensor] = self.network(image)
        return found

    @torch.no_grad()
    def embed(self, image: Tensor) -> Tensor:
        """One vector per picture: the spatial mean of the (only) layer, (B, C)."""
        layer: Tensor
        (layer,) = self(image).values()
        return layer.mean((2, 3))


class Tapped(nn.Module):
    """A chain of layers, cut after the deepest layer asked for, normalised with ImageNet's."""

    mean: Tensor
    std: Tensor

    def __init__(self, chain: nn.Sequential, taps: dict[int, str]) -> None:
        super().__init__()
        self.chain, self.taps = chain[: max(taps) + 1], taps
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1] to the tapped activations."""
        value, found = (image - self.mean) / self.std, {}
        for index, layer in enumerate(self.chain):
            value = layer(value)
            if index in self.taps:
                found[self.taps[index]] = value
        return found


class RescaledPool(nn.Module):
    """2×2 pooling other than max, times a factor that keeps the activations' scale.

    Average and L2 pooling shrink a trained VGG's activations; crowsonkb/style-transfer-pytorch
    multiplies by 2 and 0.78.
    """

    def __init__(self, kind: Pooling) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2) if kind == "average" else nn.LPPool2d(2, 2)
        self.factor = 2.0 if kind == "average" else 0.78

    def forward(self, value: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H/2, W/2)."""
        pooled: Tensor = self.pool(value)
        return pooled * self.factor


def vgg_layers(name: str) -> dict[str, int]:
    """Layer name → index in torchvision's ``features``: conv1_1, relu1_1, …, pool5."""
    found, index = {}, 0
    for block, depth in enumerate(VGG_BLOCKS[name], start=1):
        for conv in range(1, depth + 1):
            found[f"conv{block}_{conv}"], found[f"relu{block}_{conv}"] = index, index + 1
            index += 2
        found[f"pool{block}"] = index
        index += 1
    return found


def squeezenet_layers() -> dict[str, int]:
    """Layer name → index in torchvision's SqueezeNet 1.1 ``features``."""
    order = "conv1 relu1 pool1 fire2 fire3 pool3 fire4 fire5 pool5 fire6 fire7 fire8 fire9"
    return {layer: index for index, layer in enumerate(order.split())}


def load_features(
    name: str,
    layers: Iterable[str],
    *,
    pooling: Pooling = "max",
    first_padding: Literal["zeros", "replicate"] = "zeros",
    unit_activations: bool = False,
    device: str = "cpu",
) -> Features:
    """The network ``name`` tapped at ``layers``, frozen, on ``device``.

    Args:
        name: one of ``NAMES``. ``random`` is VGG19's layout with seeded, calibrated weights.
        layers: such as ``relu4_1`` (after the ReLU) or ``conv4_1`` (before it).
        pooling: what stands for VGG's max pooling.
        first_padding: ``replicate`` removes the dark rim zero padding leaves in optimised pictures.
        unit_activations: rescale the layers to a mean activation of one (see
            ``normalise_activations``); only for the chains, not for the Inceptions.
        device: ``cpu``, ``cuda``, …

    Raises:
        UserError: unknown name or layer, missing or ill-fitting weights.
    """
    wanted = list(dict.fromkeys(layers))
    if name not in NAMES:
        raise UserError(f"no features named {name!r}; there are {', '.join(NAMES)}")
    if name.startswith("inception"):
        state = resolve(name)
        build = fid_network if name == "inception_fid" else inception_network
        return Features(name, build(state, wanted), digest(state), wanted).to(device)
    chain, known, weights_hash = _chain(name)
    if unit_activations and name != "squeezenet1_1":
        normalise_activations(chain)
    taps = {known[layer]: layer for layer in _checked(name, wanted, known)}
    _modify(chain, pooling, first_padding)
    tapped = Tapped(chain, taps).to(memory_format=torch.channels_last)
    return Features(name, tapped, weights_hash, wanted).to(device)


def _checked(name: str, wanted: Sequence[str], known: dict[str, int]) -> Sequence[str]:
    for layer in wanted:
        if layer not in known:
            raise UserError(f"{name} has no layer {layer!r}; it has {', '.join(known)}")
    return wanted


def _chain(name: str) -> tuple[nn.Sequential, dict[str, int], str]:
    """The whole ``features`` chain with its weights, its layer names and its hash."""
    if name == "random":
        chain = random_vgg19(RANDOM_SEED)
        return chain, vgg_layers("vgg19"), digest(chain.state_dict())
    state = {k: v for k, v in resolve(name).items() if k.startswith("features.")}
    with torch.device("meta"):  # no time lost on an initialisation that is overwritten
        model = getattr(models, name)(weights=None)
    chain = model.features
    load_strictly(chain, {k.removeprefix("features."): v for k, v in state.items()}, name)
    known = squeezenet_layers() if name == "squeezenet1_1" else vgg_layers(name)
    return chain, known, digest(state)


def load_strictly(network: nn.Module, state: StateDict, name: str) -> None:
    """Load ``state`` or say in one sentence how it differs from the network called ``name``."""
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"the weight file found for {name} does not fit it: {first}") from None


def _modify(chain: nn.Sequential, pooling: Pooling, first_padding: str) -> None:
    for index, layer in enumerate(chain):
        if isinstance(layer, nn.ReLU):
            chain[index] = nn.ReLU()  # not in place: a tap before the ReLU must stay intact
        if isinstance(layer, nn.MaxPool2d) and pooling != "max":
            chain[index] = RescaledPool(pooling)
    first = chain[0]
    if first_padding == "replicate" and isinstance(first, nn.Conv2d):
        first.padding_mode = "replicate"
        first._reversed_padding_repeated_twice = [1, 1, 1, 1]  # set once by nn.Conv2d.__init__


@torch.no_grad()
def normalise_activations(chain: nn.Sequential) -> None:
    """Scale the convolutions of a VGG so that every ReLU's mean output is one.

    The published families differ by two orders of magnitude in scale (Caffe's VGG19 answers to
    0-255 pixels), so a loss weight would mean something else with each. After Gatys et al. 2016,
    §2; unlike there, one factor per layer, not per filter, and measured on a smooth seeded picture
    instead of ImageNet. What the network computes is unchanged but for those factors.
    """
    value, scale = _smooth_noise(torch.Generator().manual_seed(RANDOM_SEED)), 1.0
    for layer in chain:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            layer.weight.mul_(scale)  # its input was divided by the scale so far
            scale = layer(value).relu().mean().item()
            layer.weight.div_(scale)
            layer.bias.div_(scale)
        value = layer(value)


def random_vgg19(seed: int) -> nn.Sequential:
    """VGG19's layers with seeded Gaussian kernels, calibrated to unit second moment.

    Random VGG features carry texture (He, Wang & Hopcroft 2016, "A powerful generative model using
    random weights"), but their distances are comparable with nothing else. Each layer is scaled on
    a smooth seeded picture (as LSUV, Mishkin & Matas 2016) so that all layers weigh alike; the
    factors are rounded, which keeps the hash equal on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    chain: nn.Sequential = models.vgg19(weights=None, init_weights=False).features
    value = _smooth_noise(generator)
    for layer in chain:
        if isinstance(layer, nn.Conv2d):
            _calibrate(layer, value, generator)
        value = layer(value)
    return chain


def _smooth_noise(generator: torch.Generator) -> Tensor:
    """(4, 3, 64, 64) with detail at all sizes: a sum of enlarged noises, unit variance."""
    octaves = [torch.randn(4, 3, n, n, generator=generator) for n in (2, 4, 8, 16, 32, 64)]
    total = torch.stack([F.interpolate(o, 64, mode="bilinear") for o in octaves]).sum(0)
    return total / total.std()


@torch.no_grad()
def _calibrate(layer: nn.Conv2d, value: Tensor, generator: torch.Generator) -> None:
    weight = torch.randn(layer.weight.shape, generator=generator)
    if layer.bias is None:
        raise TypeError("VGG's convolutions have biases")
    layer.weight.requires_grad_(False).copy_(weight)
    layer.bias.requires_grad_(False).zero_()
    spread = layer(value).square().mean((0, 2, 3)).sqrt()  # per channel
    layer.weight /= torch.round(spread, decimals=2).view(-1, 1, 1, 1)
