"""Frozen perceptual networks, loaded by name and tapped by layer name.

Shapes: B pictures, C channels, H×W positions. Input is RGB in [0, 1]; every network normalises it
as in its training.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.nn.pretrained.calibration import (
    activation_scale,
    normalise_activations,
    random_vgg19,
)
from atelier.nn.pretrained.inception import INCEPTION_LAYERS, fid_network, inception_network
from atelier.nn.pretrained.mini import LAYERS, VECTOR, mini_network
from atelier.nn.pretrained.weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    StateDict,
    digest,
    load_strictly,
    resolve,
)
from atelier.nn.reflection import ReflectionConv

log = logging.getLogger(__name__)
Pooling = Literal["max", "average", "l2"]
Padding = Literal["zeros", "reflect"]
OtherScale = Literal["take", "warn", "refuse"]
LARGEST_SCALE = 10.0
"""``activation_scale`` above which weights are not of torchvision's family: between the two."""
NAMES = ("vgg16", "vgg19", "squeezenet1_1", "inception_v3", "inception_fid", "mini", "random")
VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
BUILDERS = {
    "inception_fid": fid_network,
    "inception_v3": inception_network,
    "mini": mini_network,
}
"""Networks that are not a plain chain → function of weights and layers that builds them."""
EMBEDDING_LAYER = {
    "inception_fid": "pool3",
    "inception_v3": "Mixed_7c",
    "squeezenet1_1": "fire9",
    "mini": "vector",
    "random": "relu4_1",
}
"""Layer whose spatial mean is the feature vector of a picture; relu5_1 for the VGGs."""


class Features(nn.Module):
    """A frozen network that returns the activations of selected layers.

    Attributes:
        name: name of the network.
        hash: digest of all its weights, to accompany every number computed with it.
        layers: the selected layers.
        embedding: the layer whose spatial mean represents a picture.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        weights_hash: str,
        layers: Sequence[str],
        embedding: str | None = None,
    ) -> None:
        super().__init__()
        self.name, self.hash, self.layers = name, weights_hash, tuple(layers)
        self.embedding = embedding or self.layers[0]
        self.network = network.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) in [0, 1] to layer name → (B, C, h, w)."""
        found: dict[str, Tensor] = self.network(image)
        return found

    @cached_property
    def channels(self) -> dict[str, int]:
        """Return layer → width C."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            found = self(torch.zeros(1, 3, 96, 96, device=device))
        return {layer: value.shape[1] for layer, value in found.items()}

    @torch.no_grad()
    def embed(self, image: Tensor) -> Tensor:
        """Return one vector per picture, (B, C), of (B, 3, H, W) in [0, 1]."""
        return self.vectors(self(image))

    def vectors(self, found: Mapping[str, Tensor]) -> Tensor:
        """Return what ``embed`` does, of the activations it takes: their spatial mean, (B, C)."""
        return found[self.embedding].mean((2, 3))


class LossFeatures:
    """Loss network of a training, loaded when a loss first needs it.

    A trained system is applied without it, so its weights need not be available.
    """

    def __init__(self, load: Callable[[], Features]) -> None:
        self.load = load

    @cached_property
    def network(self) -> Features:
        """Return the network, which is loaded on first use.

        Raises:
            UserError: see ``load_features``.
        """
        return self.load()

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Map pictures to activations as ``Features.forward`` does."""
        found: dict[str, Tensor] = self.network(image)
        return found


class Tapped(nn.Module):
    """A chain of layers up to the deepest selected one, with ImageNet's input normalisation."""

    mean: Tensor
    std: Tensor

    def __init__(self, chain: nn.Sequential, taps: dict[int, str]) -> None:
        super().__init__()
        self.chain, self.taps = chain[: max(taps) + 1], taps
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) in [0, 1] to the tapped activations."""
        value, found = (image - self.mean) / self.std, {}
        for index, layer in enumerate(self.chain):
            value = layer(value)
            if index in self.taps:
                found[self.taps[index]] = value
        return found


class RescaledPool(nn.Module):
    """Average or L2 pooling (2×2), times a factor that preserves the activations' scale.

    Average and L2 pooling shrink a trained VGG's activations; crowsonkb/style-transfer-pytorch
    multiplies by 2 and 0.78.
    """

    def __init__(self, kind: Pooling) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2) if kind == "average" else nn.LPPool2d(2, 2)
        self.factor = 2.0 if kind == "average" else 0.78

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H/2, W/2)."""
        pooled: Tensor = self.pool(value)
        return pooled * self.factor


def vgg_layers(name: str) -> dict[str, int]:
    """Return layer name → index in torchvision's ``features``: conv1_1, relu1_1, …, pool5."""
    found, index = {}, 0
    for block, depth in enumerate(VGG_BLOCKS[name], start=1):
        for conv in range(1, depth + 1):
            found[f"conv{block}_{conv}"], found[f"relu{block}_{conv}"] = index, index + 1
            index += 2
        found[f"pool{block}"] = index
        index += 1
    return found


def squeezenet_layers() -> dict[str, int]:
    """Return layer name → index in torchvision's SqueezeNet 1.1 ``features``."""
    order = "conv1 relu1 pool1 fire2 fire3 pool3 fire4 fire5 pool5 fire6 fire7 fire8 fire9"
    return {layer: index for index, layer in enumerate(order.split())}


def layer_names(name: str) -> tuple[str, ...]:
    """Return the layers that the network ``name``, one of ``NAMES``, can be tapped at."""
    plain = {"mini": LAYERS, "inception_v3": INCEPTION_LAYERS, "inception_fid": ("pool3",)}
    if name in plain:
        return plain[name]
    if name == "squeezenet1_1":
        return tuple(squeezenet_layers())
    return tuple(vgg_layers("vgg19" if name == "random" else name))


def load_features(
    name: str,
    layers: Iterable[str],
    *,
    pooling: Pooling = "max",
    first_padding: Literal["zeros", "replicate"] = "zeros",
    padding: Padding = "zeros",
    unit_activations: bool = False,
    other_scale: OtherScale = "take",
    embedding: str | None = None,
    device: str = "cpu",
) -> Features:
    """Return the network ``name`` tapped at ``layers``, frozen, on ``device``.

    Args:
        name: one of ``NAMES``. ``mini`` is the small encoder shipped with the package;
            ``random`` is VGG19's layout with seeded, calibrated weights.
        layers: such as ``relu4_1`` (after the ReLU) or ``conv4_1`` (before it).
        pooling: replacement of VGG's max pooling.
        first_padding: ``replicate`` removes the dark frame that zero padding leaves in optimised
            pictures.
        padding: ``reflect`` is what AdaIN's and AdaAttN's "vgg_normalised" has before every
            convolution; the VGGs, ``random`` and ``mini``, no effect on the others.
        unit_activations: rescale the layers to a mean activation of one (see
            ``normalise_activations``); only the VGGs and ``random``, no effect on the others
            (``mini`` was distilled from a VGG19 rescaled in this way).
        other_scale: what to do, without ``unit_activations``, about a VGG whose activations are far
            larger than those of torchvision's weights, for which loss weights are published.
        embedding: one more layer, for ``Features.embed``; default: the first of ``layers``.
        device: ``cpu``, ``cuda``, …

    Raises:
        UserError: unknown name or layer, missing or incompatible weights, weights of another scale
            that are refused, an option of the VGGs for another network.
    """
    wanted = list(dict.fromkeys(layers))
    if name not in NAMES:
        raise UserError(f"no features named {name!r}; there are {', '.join(NAMES)}")
    if name == "mini" and VECTOR in wanted and len(wanted) > 1:
        raise UserError(f"mini: {VECTOR} cannot be combined with other layers")
    if embedding:
        wanted = list(dict.fromkeys([*wanted, embedding]))
    is_vgg = name in VGG_BLOCKS or name == "random"
    if not is_vgg and (pooling, first_padding) != ("max", "zeros"):
        raise UserError(f"{name}: pooling and first_padding are options of the VGGs only")
    if name in BUILDERS:
        state = resolve(name)
        network = BUILDERS[name](state, wanted)
        if name == "mini":
            reflect_rims(network, padding)
        return Features(name, network, digest(state), wanted, embedding).to(device)
    chain, known, weights_hash = _chain(name)
    if unit_activations and is_vgg:
        normalise_activations(chain)
    _note_scale(name, chain, other_scale if name in VGG_BLOCKS else "take")
    taps = {known[layer]: layer for layer in _checked(name, wanted, known)}
    _modify(chain, pooling, first_padding, padding)
    tapped = Tapped(chain, taps).to(memory_format=torch.channels_last)
    return Features(name, tapped, weights_hash, wanted, embedding).to(device)


def _note_scale(name: str, chain: nn.Sequential, other_scale: OtherScale) -> None:
    """Log or refuse weights of another scale than torchvision's; calibrated ones pass."""
    if other_scale == "take" or (scale := activation_scale(chain)) <= LARGEST_SCALE:
        return
    text = (
        f"{name}: its activations average {scale:.0f}, those of torchvision's weights about 1 "
        "(weights converted from Caffe are like this): published loss weights do not apply, and "
        "the style outweighs the content by orders of magnitude; set unit_activations: true"
    )
    if other_scale == "refuse":
        raise UserError(f"{text}, or put torchvision's weights into ATELIER_WEIGHTS")
    log.warning("%s, unless your loss weights are for these", text)


def _checked(name: str, wanted: Sequence[str], known: dict[str, int]) -> Sequence[str]:
    for layer in wanted:
        if layer not in known:
            raise UserError(f"{name} has no layer {layer!r}; it has {', '.join(known)}")
    return wanted


def _chain(name: str) -> tuple[nn.Sequential, dict[str, int], str]:
    """Return the full ``features`` chain with its weights, its layer names and its hash."""
    if name == "random":
        chain = random_vgg19()
        return chain, vgg_layers("vgg19"), digest(chain.state_dict())
    state = {k: v for k, v in resolve(name).items() if k.startswith("features.")}
    chain = _trunk(name, state)
    known = squeezenet_layers() if name == "squeezenet1_1" else vgg_layers(name)
    return chain, known, digest(state)


def _trunk(name: str, state: StateDict) -> nn.Sequential:
    """Return torchvision's ``features`` of the network ``name`` with weights of it."""
    with torch.device("meta"):  # no time lost on an initialisation that is overwritten
        models = importlib.import_module("torchvision.models")  # see weights.published_url
        chain: nn.Sequential = getattr(models, name)(weights=None).features
    trunk = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
    load_strictly(chain, trunk, name)
    return chain


def require_fit(name: str, state: StateDict) -> None:
    """Refuse weights of another network than ``name``, one of ``PUBLISHED``.

    Raises:
        UserError: the first thing that does not fit.
    """
    if name in BUILDERS:
        BUILDERS[name](state, layer_names(name)[:1])
    else:
        _trunk(name, state)


def reflect_rims(network: nn.Module, padding: Padding) -> None:
    """Replace zero padding of convolutions by reflection if ``padding`` says so.

    A decoder turns zeros at the border of its features into a dark frame.
    """
    for layer in network.modules():
        if padding == "reflect" and isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
            layer.__class__ = ReflectionConv
            layer.padding_mode = padding


def _modify(chain: nn.Sequential, pooling: Pooling, first_padding: str, padding: Padding) -> None:
    reflect_rims(chain, padding)
    for index, layer in enumerate(chain):
        if isinstance(layer, nn.ReLU):
            chain[index] = nn.ReLU()  # not in place: a tap before the ReLU must stay intact
        if isinstance(layer, nn.MaxPool2d) and pooling != "max":
            chain[index] = RescaledPool(pooling)
    first = chain[0]
    if first_padding == "replicate" and isinstance(first, nn.Conv2d):
        first.padding_mode = "replicate"
