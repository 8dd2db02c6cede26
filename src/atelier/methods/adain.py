"""AdaIN: any painting by its channel statistics (Huang & Belongie, ICCV 2017).

The encoder is frozen; only a decoder is trained. After naoto0804/pytorch-AdaIN.

Shapes: B pictures of H×W, sides multiples of 8; features at stride 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.methods.trained import Arbitrary, ArbitrarySettings, Losses, seeded
from atelier.nn.attention import mvn
from atelier.nn.decoder import TAPS, Decoder, Init, init_he
from atelier.nn.losses import content_loss, mean_std, mean_std_loss
from atelier.nn.memory import to_device
from atelier.nn.pretrained.features import Features, LossFeatures, load_features
from atelier.nn.tiling import decode, encode

DEEPEST = TAPS[-1]


class AdaINSettings(ArbitrarySettings):
    """Settings of one ``adain`` entry in ``params.yaml``."""

    features: str
    """Looks at both pictures whenever the system is applied; its relu4_1 is what is decoded."""
    loss_features: str | None = None
    """Network of the losses, needed in training only; None: ``features``."""
    load_size: int | None = Field(512, ge=32)
    """Unlike pytorch-AdaIN, which stretches to a square of 512, the aspect is kept."""
    flip: bool = False
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(10.0, ge=0)
    identity_weight: float = Field(0.0, ge=0)
    """Of the mean squared difference in pixels between a photograph and itself decoded in its own
    style. Not in the paper (SANet has it, Park & Lee 2019, eq. 9): it teaches the decoder to paint
    pictures in hundreds of steps instead of thousands."""
    lr_decay: float = Field(5e-5, ge=0)
    """The learning rate at step i is lr / (1 + lr_decay · i)."""
    init: Init = "published"
    """``he`` for short trainings, see ``init_he``."""
    tile: int | None = Field(None, ge=64, multiple_of=16)
    """Side in pixels of the pieces larger pictures are computed in, with the same result; None:
    always whole."""


def adain(content: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Content features (B, C, h, w) with the channels' mean and std (B, C) (eq. 8), in float32."""
    return std[..., None, None] * mvn(content) + mean[..., None, None]


class AdaIN(Arbitrary):
    """Content features with the style's moments, decoded."""

    Settings = AdaINSettings
    multiple: ClassVar[int] = 8
    instance_norm: ClassVar[bool] = False

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
            decoder = Decoder(features.channels)
            if settings.init == "he":
                init_he(decoder)
        self.networks = to_device(nn.ModuleDict({"decoder": decoder}), device)

    @classmethod
    def build(cls, settings: Any, *, seed: int, device: str) -> Self:
        """Load the encoder the settings name; draw the decoder's first weights."""

        # Unlike the paper and its port, no "vgg_normalised" (a Caffe VGG19 rescaled to mean
        # activation 1): torchvision's type of VGG19, rescaled in the same way layer by layer, with
        # its reflection padding; input normalised by ImageNet's moments instead of by a 1×1
        # convolution, max pooling rounds down instead of up.
        def load(name: str) -> Features:
            return load_features(
                name, TAPS, padding="reflect", unit_activations=True, device=device
            )

        features, judge = load(settings.features), settings.loss_features
        losses = LossFeatures(partial(load, judge)) if judge else features
        return cls(settings, features, losses, seed, device)

    def lr_factor(self, step: int) -> float:
        """Falls with 1/step."""
        return 1 / (1 + float(self.settings.lr_decay) * step)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Content against the AdaIN output, not the photograph (eq. 12); style by moments (13).

        Both in the space of ``loss_features``, where they have an AdaIN output of their own if that
        is another network than the decoder's.
        """
        s, apart = self.settings, self.loss_features is not self.features
        with torch.no_grad():
            style, seen = self.features(batch.style), self.features(batch.content)[DEEPEST]
            target = aim = adain(seen, *mean_std(style[DEEPEST]))
            judged = self.loss_features(batch.style) if apart else style
            wanted = {tap: mean_std(f) for tap, f in judged.items()}
            if apart:
                aim = adain(self.loss_features(batch.content)[DEEPEST], *wanted[DEEPEST])
        found = self.loss_features(self.networks["decoder"](target))
        content = content_loss(found[DEEPEST], aim).mean()
        style = torch.stack([mean_std_loss(found[tap], wanted[tap]) for tap in TAPS]).sum(0).mean()
        losses = {"content": content, "style": style}
        total = s.content_weight * content + s.style_weight * style
        if s.identity_weight:
            itself = self.networks["decoder"](seen)
            losses["identity"] = content_loss(itself, batch.content).mean()
            total = total + s.identity_weight * losses["identity"]
        yield "main", {"total": total, **losses}

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """See ``Arbitrary``; mixed as in the paper's eq. 14 (strength) and 15 (styles)."""
        seen = self._encode(content)
        moments = [mean_std(self._encode(style)) for style in styles]
        # the AdaIN outputs mixed: they are linear in the moments, so mixing these is the same
        mean, std = (_mixed(part, weights) for part in zip(*moments, strict=True))
        target = strength * adain(seen, mean, std) + (1 - strength) * seen
        decoder: Any = self.networks["decoder"]
        return decode(decoder, [target], self.settings.tile)

    def _encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, ⌊H/8⌋, ⌊W/8⌋)."""
        return encode(self.features, image, [DEEPEST], self.settings.tile)[DEEPEST]


def _mixed(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    return torch.stack([w * part for w, part in zip(weights, parts, strict=True)]).sum(0)


METHOD = AdaIN
