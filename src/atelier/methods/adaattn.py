"""AdaAttN: arbitrary style transfer by moments that attention computes for every position.

Liu et al., "AdaAttN: Revisit Attention Mechanism in Arbitrary Neural Style Transfer", ICCV 2021,
with the settings of the authors' code (Huage001/AdaAttN).

Shapes: B pictures of H×W, sides multiples of 16; relu3, relu4, relu5 at strides 4, 8, 16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from atelier.core.batches import Batch
from atelier.core.purpose import ApplySetting
from atelier.methods.trained import Arbitrary, ArbitrarySettings, Losses, seeded
from atelier.nn.attention import (
    AdaAttention,
    EncodedImage,
    MergedAttention,
    attend_unprojected,
    mvn,
    shallow_keys,
    subset,
)
from atelier.nn.decoder import TAPS, Decoder, Init, init_he
from atelier.nn.losses import content_loss, mean_std, mean_std_loss
from atelier.nn.memory import to_device
from atelier.nn.padding import cropped
from atelier.nn.pretrained.features import Features, LossFeatures, load_features
from atelier.nn.tiling import decode, encode

LAYERS = (*TAPS, "relu5_1")
Layer = Literal["relu2_1", "relu3_1", "relu4_1", "relu5_1"]
LOSS_LAYERS: tuple[Layer, ...] = ("relu2_1", "relu3_1", "relu4_1", "relu5_1")


class AdaAttNSettings(ArbitrarySettings):
    """Settings of one ``adaattn`` entry in ``params.yaml``."""

    features: str
    """Encoder of content and style, also when the system is applied; the attention uses its
    layers."""
    loss_features: str | None = None
    """Loss network, which also computes the attention in the targets; needed in training only.
    None: ``features``."""
    lr: float = Field(2e-4, gt=0)
    load_size: int | None = Field(512, ge=32)
    """Unlike the authors' code, which stretches to a square of 512, the aspect ratio is kept."""
    shallow_keys: bool = True
    """Compare positions by all layers up to that of the attention, not by that layer alone."""
    skip: bool = True
    """Pass the attention at relu3_1 to the decoder."""
    global_weight: float = Field(10.0, ge=0)
    local_weight: float = Field(3.0, ge=0)
    content_weight: float = Field(0.0, ge=0)
    """Weight of the content loss on normalised features; non-zero for ablations only."""
    identity_weight: float = Field(0.0, ge=0)
    """Weight of the mean squared error in pixels between a photograph and its reconstruction in its
    own style. Not in the paper (SANet has it, Park & Lee 2019, eq. 9): with it the decoder learns
    to reconstruct pictures in hundreds of steps instead of thousands."""
    local_layers: tuple[Layer, ...] = Field(LOSS_LAYERS, min_length=1)
    """The paper's text has relu3_1 to relu5_1; relu2_1 is the authors' code, and most of the
    attention's time."""
    local_samples: int | None = Field(None, ge=1)
    """Content positions, drawn anew in every step, at which each layer's local loss is computed;
    None: all, as in the paper. The same loss on average, and the targets' attention in a fraction
    of the time."""
    max_sample: int = Field(64 * 64, ge=1)
    """Style positions sampled at relu2_1 and relu3_1, in attention and local loss."""
    max_sample_deep: int = Field(256 * 256, ge=1)
    """The same at relu4_1 and relu5_1. Unlike the authors' code also in the local loss, which there
    takes ``max_sample``: the same up to crops of 512 px."""
    epochs_of_schedule: ClassVar[bool] = True
    epochs: int = Field(5, ge=1)
    """Number of epochs of the learning-rate schedule: passes over the photographs or, where
    ``steps`` are given, equal parts of them."""
    constant_epochs: int = Field(2, ge=0)
    """Epochs at the full learning rate; each later one multiplies it by ``lr_decay``."""
    lr_decay: float = Field(0.3, gt=0, le=1)
    init: Init = "published"
    """Initialisation. ``he``, for short trainings: see ``init_he`` for the decoder, and
    ``AdaAttention.init_identity`` for attention that starts without projections."""
    init_std: float = Field(0.02, gt=0)
    """Standard deviation of the initial weights, normally distributed; biases start at 0."""
    tile: ApplySetting[int | None] = Field(None, ge=64, multiple_of=16)
    """Side in pixels of the tiles in which encoder and decoder process larger pictures, with the
    same result; None: no tiling."""


class AdaAttN(Arbitrary[AdaAttNSettings]):
    """Decoder of content features that are given the moments each position attends to."""

    Settings = AdaAttNSettings
    multiple: ClassVar[int] = 16

    features: Features
    loss_features: Features | LossFeatures

    def __init__(
        self,
        settings: AdaAttNSettings,
        features: Features,
        loss_features: Features | LossFeatures,
        seed: int,
        device: str,
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.features, self.loss_features = features, loss_features
        self.layers = LAYERS[2:] if settings.skip else LAYERS[3:]
        with seeded(seed):
            networks = _networks(settings, features.channels)
            _initialise(networks, settings)
        self.networks = to_device(networks, device)

    @classmethod
    def build(cls, settings: AdaAttNSettings, *, seed: int, device: str) -> Self:
        """Load the encoder named in the settings; initialise the weights."""

        # Unlike the authors' code, no "vgg_normalised" (a Caffe VGG19 rescaled to mean activation
        # 1) but torchvision's VGG19, rescaled in the same way layer by layer, with reflection
        # padding; the input is normalised by ImageNet's moments instead of a 1×1 convolution, and
        # max pooling rounds down instead of up.
        def load(name: str) -> Features:
            return load_features(
                name, LAYERS, padding="reflect", unit_activations=True, device=device
            )

        features, judge = load(settings.features), settings.loss_features
        losses = LossFeatures(partial(load, judge)) if judge else features
        return cls(settings, features, losses, seed, device)

    def lr_factor(self, step: int) -> float:
        """Return 1, 1, 0.3, 0.09, 0.027 over five epochs, the effect of the "linear" policy."""
        s = self.settings
        epoch = step * s.epochs // s.steps
        return float(s.lr_decay ** max(0, epoch + 1 - s.constant_epochs))

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield the losses: global style moments, and local moments by attention per position.

        Both are computed on ``loss_features``, including the attention in the targets.
        """
        s, generator = self.settings, batch.generator("style positions")
        pictures, judge = (cropped(batch.content, self.multiple), batch.style), self.loss_features
        apart = judge is not self.features
        with torch.no_grad():
            layers = self.layers if apart else LOSS_LAYERS
            content, style = (self._see(p, layers, generator) for p in pictures)
            judged = (content, style)
            if apart:
                network = judge.network if isinstance(judge, LossFeatures) else judge
                content_judged, style_judged = (
                    self._see(p, LOSS_LAYERS, generator, network) for p in pictures
                )
                judged = (content_judged, style_judged)
        image = self.networks["decoder"](*self._stylised(content, style))
        losses = self._losses(judge(image), *judged, generator)
        total = s.global_weight * losses["global"] + s.local_weight * losses["local"]
        if s.content_weight:
            total = total + s.content_weight * losses["content"]
        if s.identity_weight:
            itself = self.networks["decoder"](*self._stylised(content, content))
            losses["identity"] = content_loss(itself, pictures[0]).mean()
            total = total + s.identity_weight * losses["identity"]
        yield "main", {"total": total, **losses}

    def _losses(
        self,
        found: Mapping[str, Tensor],
        content: EncodedImage,
        style: EncodedImage,
        generator: Generator,
    ) -> Losses:
        """Return the losses of the re-encoded picture (§3.3), and the one for ablations."""
        moments = [mean_std_loss(found[k], mean_std(style.features[k])) for k in LOSS_LAYERS]
        local = []
        for layer in self.settings.local_layers:
            places = self._places(found[layer], generator)
            with torch.no_grad():  # of frozen features alone
                target = attend_unprojected(content, style, layer, places)
            made = found[layer] if places is None else found[layer].flatten(2)[..., places]
            local.append(content_loss(made, target))
        kept = [content_loss(mvn(found[k]), mvn(content.features[k])) for k in LOSS_LAYERS]
        named = {"global": moments, "local": local, "content": kept}
        return {name: torch.stack(parts).sum(0).mean() for name, parts in named.items()}

    def _places(self, found: Tensor, generator: Generator) -> Tensor | None:
        """Return the positions of the local loss in (B, C, h, w); None: all."""
        count, limit = found[0, 0].numel(), self.settings.local_samples
        places = subset(count, limit, generator) if limit else None
        return None if places is None else places.to(found.device)

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """Stylise with a mixture of decoder inputs; see ``Arbitrary``.

        The paper has no strength: below 1 the content is one more style in the mixture.
        """
        seen = self._encode(content)
        shares = [*(strength * weight for weight in weights), 1 - strength]
        parts = [
            [
                share * part
                for part in self._stylised(seen, seen if image is content else self._encode(image))
            ]
            for share, image in zip(shares, [*styles, content], strict=True)
            if share
        ]
        mixture = [torch.stack(same).sum(0) for same in zip(*parts, strict=True)]
        decoder = self.network(Decoder, "decoder")
        return decode(decoder, mixture, self.settings.tile)

    def _stylised(self, content: EncodedImage, style: EncodedImage) -> list[Tensor]:
        """Return the decoder's input: (B, C4, H/8, W/8) and, with a skip, the grid of relu3_1."""
        names = ("transformer", "relu3") if self.settings.skip else ("transformer",)
        return [self.networks[name](content, style) for name in names]

    def _encode(self, image: Tensor) -> EncodedImage:
        """Encode for ``blend``: the positions depend on the seed and the picture's size alone."""
        return self._see(image, self.layers, Generator().manual_seed(self.seed))

    def _see(
        self,
        image: Tensor,
        layers: Sequence[str],
        generator: Generator,
        features: Features | None = None,
    ) -> EncodedImage:
        """Encode (B, 3, H, W); sample the positions used when it is the style."""
        s, found = (
            self.settings,
            encode(features or self.features, image, LAYERS, self.settings.tile),
        )
        keys = {k: shallow_keys(found, k, shallow=s.shallow_keys) for k in layers}
        kept = {k: found[k] for k in layers}  # the rest takes most of a large picture's memory
        counts = {k: value.shape[2:].numel() for k, value in kept.items()}
        limits = {k: s.max_sample_deep if k in LAYERS[3:] else s.max_sample for k in layers}
        return EncodedImage(
            kept, keys, {k: subset(n, limits[k], generator) for k, n in counts.items()}
        )


def _networks(settings: AdaAttNSettings, widths: Mapping[str, int]) -> nn.ModuleDict:
    """Build transformer and decoder, and with a skip the attention at relu3_1."""
    keys = {
        layer: sum(widths[k] for k in LAYERS[: n + 1]) if settings.shallow_keys else widths[layer]
        for n, layer in enumerate(LAYERS)
    }
    four, five = (AdaAttention(layer, keys[layer], widths[layer]) for layer in LAYERS[3:])
    deep = [widths[layer] for layer in LAYERS[3:]]
    parts = {"transformer": MergedAttention(four, five, deep)}
    decoder = Decoder(widths, skip=settings.skip)
    relu3 = AdaAttention("relu3_1", keys["relu3_1"], widths["relu3_1"])
    skip = {"relu3": relu3} if settings.skip else {}
    return nn.ModuleDict({**parts, "decoder": decoder, **skip})


def _initialise(networks: nn.ModuleDict, settings: AdaAttNSettings) -> None:
    """Initialise as the authors' "normal", or with ``he`` so that it transfers style untrained."""
    for layer in networks.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, settings.init_std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    decoder = networks["decoder"]
    if settings.init == "he" and isinstance(decoder, Decoder):
        init_he(decoder)
        for part in networks.modules():
            if isinstance(part, AdaAttention):
                part.init_identity()
            if isinstance(part, MergedAttention):
                nn.init.dirac_(part.merge.weight)


METHOD = AdaAttN
