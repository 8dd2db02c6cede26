"""AdaIN: arbitrary style transfer by channel statistics (Huang & Belongie, ICCV 2017).

The encoder is frozen; only a decoder is trained. After naoto0804/pytorch-AdaIN. ``matching``
replaces AdaIN by another transform of the features: exact feature distribution matching (EFDM,
Zhang et al., CVPR 2022) or whitening and colouring (WCT, Li et al., NeurIPS 2017).

Shapes: B pictures of H×W, sides multiples of 8; features at stride 8, or at 4 with relu3_1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.core.purpose import ApplySetting, FreeTrainSetting
from atelier.methods.trained import Arbitrary, ArbitrarySettings, Losses, seeded
from atelier.nn.attention import mvn
from atelier.nn.decoder import TAPS, Decoder, Init, Layer, init_he
from atelier.nn.feature_matching import (
    distribution_loss,
    match_covariance,
    match_distribution,
)
from atelier.nn.losses import content_loss, mean_std, mean_std_loss
from atelier.nn.memory import to_device
from atelier.nn.pretrained.features import Features, LossFeatures, load_features
from atelier.nn.tiling import decode, encode

DEEPEST = TAPS[-1]
"""Layers of the content loss."""
Matching = Literal["adain", "efdm", "wct"]


class AdaINSettings(ArbitrarySettings):
    """Settings of one ``adain`` entry in ``params.yaml``."""

    features: str
    """Encoder of content and style, also needed when the system is applied."""
    layer: Layer = "relu4_1"
    """Encoder layer that is decoded. Unlike the paper, relu3_1 for ``mini``, whose relu4_1 (160
    channels at stride 8) lacks the detail a decoder needs (docs/log.md)."""
    loss_features: str | None = None
    """Loss network, needed in training only; None: ``features``."""
    matching: FreeTrainSetting[Matching] = "adain"
    """Statistics of the style features given to the content features: channel means and deviations
    (``adain``), all values of every channel (``efdm``), means and covariances (``wct``)."""
    load_size: int | None = Field(512, ge=32)
    """Unlike pytorch-AdaIN, which stretches to a square of 512, the aspect ratio is kept."""
    flip: bool = False
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(10.0, ge=0)
    identity_weight: float | None = Field(None, ge=0)
    """Weight of the mean squared error in pixels between a photograph and its reconstruction in its
    own style. Not in the papers of AdaIN and EFDM (SANet has it, Park & Lee 2019, eq. 9): with it
    the decoder learns to reconstruct pictures in hundreds of steps instead of thousands. None: the
    published weight, which is 0 except for ``wct`` (WCT, §3.1: both sums count alike)."""
    lr_decay: float = Field(5e-5, ge=0)
    """The learning rate at step i is lr / (1 + lr_decay · i)."""
    init: Init = "published"
    """Initialisation of the decoder; ``he``, for short trainings, see ``init_he``."""
    tile: ApplySetting[int | None] = Field(None, ge=64, multiple_of=16)
    """Side in pixels of the tiles in which larger pictures are processed, with the same result;
    None: no tiling."""


def adain(content: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return content features (B, C, h, w) with channel mean and std (B, C) (eq. 8), in float32."""
    return std[..., None, None] * mvn(content) + mean[..., None, None]


def adain_of(content: Tensor, style: Tensor) -> Tensor:
    """Return content features (B, C, h, w) with the style's moments (B, C, h', w'), in float32."""
    return adain(content, *mean_std(style))


MATCHINGS: Mapping[Matching, Callable[[Tensor, Tensor], Tensor]] = {
    "adain": adain_of,
    "efdm": match_distribution,
    # Unlike the paper, at one layer only: its cascade over five layers needs five decoders.
    "wct": match_covariance,
}
"""Name → function of content and style features that returns the matched features."""
STYLE_STATISTICS: Mapping[str, tuple[Callable[[Tensor], Any], Callable[..., Tensor]]] = {
    "adain": (mean_std, mean_std_loss),
    "efdm": (Tensor.float, distribution_loss),
}
"""Name → (statistic of the style features, style loss against it)."""


class AdaIN(Arbitrary[AdaINSettings]):
    """Decoder of content features that are given the style's moments (or see ``matching``)."""

    Settings = AdaINSettings
    multiple: ClassVar[int] = 8

    features: Features
    loss_features: Features | LossFeatures

    def __init__(
        self,
        settings: AdaINSettings,
        features: Features,
        loss_features: Features | LossFeatures,
        seed: int,
        device: str,
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.features, self.loss_features = features, loss_features
        with seeded(seed):
            decoder = Decoder(features.channels, layer=settings.layer)
            if settings.init == "he":
                init_he(decoder)
        self.networks = to_device(nn.ModuleDict({"decoder": decoder}), device)

    @classmethod
    def build(cls, settings: AdaINSettings, *, seed: int, device: str) -> Self:
        """Load the encoder named in the settings; initialise the decoder."""
        # Unlike the paper and its port, no "vgg_normalised" (a Caffe VGG19 rescaled to mean
        # activation 1) but torchvision's VGG19, rescaled in the same way layer by layer, with
        # reflection padding; the input is normalised by ImageNet's moments instead of a 1×1
        # convolution, and max pooling rounds down instead of up.
        load = partial(load_features, padding="reflect", unit_activations=True, device=device)
        judge, needed = settings.loss_features, TAPS[: TAPS.index(settings.layer) + 1]
        features = load(settings.features, needed if judge else TAPS)
        losses = LossFeatures(partial(load, judge, TAPS)) if judge else features
        return cls(settings, features, losses, seed, device)

    def lr_factor(self, step: int) -> float:
        """Return a factor that decays with 1/step."""
        return 1 / (1 + float(self.settings.lr_decay) * step)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield the decoder's losses as in the paper of the chosen ``matching``."""
        losses = self._reconstruction if self.settings.matching == "wct" else self._stylisation
        yield "main", losses(batch)

    def _stylisation(self, batch: Batch) -> Losses:
        """Return content loss against the AdaIN output (eq. 12) and style loss of moments (eq. 13).

        Both are computed on ``loss_features``; if that is another network than the encoder, the
        AdaIN output is computed there, too. EFDM uses its matched features and sorted values (its
        §3.3).
        """
        s, judge = self.settings, self.loss_features
        apart = judge is not self.features
        match, (statistic, measure) = MATCHINGS[s.matching], STYLE_STATISTICS[s.matching]
        with torch.no_grad():
            style, content = self.features(batch.style), self.features(batch.content)
            seen = content[s.layer]
            target = aim = match(seen, style[s.layer])
            judged = judge(batch.style) if apart else style
            wanted = {tap: statistic(f) for tap, f in judged.items()}
            if apart or s.layer != DEEPEST:
                deep = judge(batch.content) if apart else content
                aim = match(deep[DEEPEST], judged[DEEPEST])
        found = self.loss_features(self.networks["decoder"](target))
        kept = content_loss(found[DEEPEST], aim).mean()
        moved = torch.stack([measure(found[tap], wanted[tap]) for tap in TAPS]).sum(0).mean()
        losses = {"content": kept, "style": moved}
        total = s.content_weight * kept + s.style_weight * moved
        if s.identity_weight:
            itself = self.networks["decoder"](seen)
            losses["identity"] = content_loss(itself, batch.content).mean()
            total = total + s.identity_weight * losses["identity"]
        return {"total": total, **losses}

    def _reconstruction(self, batch: Batch) -> Losses:
        """Return reconstruction losses in features and pixels (WCT, §3.1); no style is used.

        The paper weighs both sums alike (λ = 1). Here they are means: by default pixels count less
        by the ratio of their number to that of the features, at VGG19's relu4_1 3/8.
        ``style_weight`` has no effect.
        """
        s, apart = self.settings, self.loss_features is not self.features
        with torch.no_grad():
            content = self.features(batch.content)
            seen, aim = content[s.layer], content
            if apart:
                aim = self.loss_features(batch.content)
        itself = self.networks["decoder"](seen)
        kept = content_loss(self.loss_features(itself)[DEEPEST], aim[DEEPEST]).mean()
        identity = content_loss(itself, batch.content).mean()
        weight = s.identity_weight
        if weight is None:
            weight = s.content_weight * batch.content.numel() / aim[DEEPEST].numel()
        total = s.content_weight * kept + weight * identity
        return {"total": total, "content": kept, "identity": identity}

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """Stylise with a mixture, by the paper's eq. 14 (strength) and 15 (styles).

        The papers of EFDM and WCT mix matched features in the same way.
        """
        seen = self._encode(content)
        matched = self._matched(seen, [self._encode(style) for style in styles], weights)
        target = strength * matched + (1 - strength) * seen
        decoder = self.network(Decoder, "decoder")
        return decode(decoder, [target], self.settings.tile)

    def _matched(self, seen: Tensor, styles: list[Tensor], weights: Sequence[float]) -> Tensor:
        """Return the mixture of content features matched with each style: (B, C, h, w)."""
        if self.settings.matching != "adain":
            match = MATCHINGS[self.settings.matching]
            return _mixed([match(seen, style) for style in styles], weights)
        # AdaIN's output is linear in the moments, so mixing moments equals mixing outputs
        mean, std = (_mixed(p, weights) for p in zip(*map(mean_std, styles), strict=True))
        return adain(seen, mean, std)

    def _encode(self, image: Tensor) -> Tensor:
        """Encode (B, 3, H, W) as (B, C, ⌊H/8⌋, ⌊W/8⌋), or at stride 4 with relu3_1."""
        layer: Layer = self.settings.layer
        return encode(self.features, image, [layer], self.settings.tile)[layer]


def _mixed(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    return torch.stack([w * part for w, part in zip(weights, parts, strict=True)]).sum(0)


METHOD = AdaIN
