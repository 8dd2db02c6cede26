"""Arbitrary stylisation by predicted norms (Ghiasi, Lee, Kudlur, Dumoulin & Shlens, BMVC 2017).

A frozen network looks at the painting; two linear layers turn its mean activation into the scales
and shifts of a fast transformer. The 100 numbers between them are the style, and can be mixed.

Shapes: B pictures of H×W, sides multiples of 4 inside the transformer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.methods.trained import Arbitrary, ArbitrarySettings, Losses, seeded
from atelier.nn.augment import augment_styles
from atelier.nn.conditional_norm import (
    EncoderNorm,
    Output,
    Pad,
    StyleTransformer,
    Topology,
    Upsample,
    initialise,
)
from atelier.nn.memory import to_device
from atelier.nn.perceptual_loss import PerceptualLoss, PerceptualSettings
from atelier.nn.pretrained.features import Features, LossFeatures, load_features

SMALLEST = 75
"""Short side in pixels below which Inception has no output; smaller paintings are enlarged."""
HEADS_STD = 0.01
"""Of the heads' first weights. Unlike magenta's (Xavier), with which the first γ and β are as large
as trained ones, at random: after 60 steps the loss was twice as high."""


class PredictedSettings(PerceptualSettings, ArbitrarySettings):
    """Settings of one ``arbitrary`` entry in ``params.yaml``; the defaults are the paper's layout.

    MindSpore's port: ``encoder_norm: in``, ``pad: zero``, ``upsample: bilinear``, ``output: tanh``,
    ``conditional_affine: true``, ``init_std: 0.02``.
    """

    encoder_norm: EncoderNorm = "bn"
    """``in``: instance norm with learnt scale and shift; no running averages that lag behind."""
    pad: Pad = "reflect"
    upsample: Upsample = "nearest"
    output: Output = "sigmoid"
    conditional_affine: bool = False
    """Whether the conditional norms have a scale and shift of their own as well."""
    width: int = Field(32, ge=4)
    """Channels of the transformer's first layer; the published networks have 32."""
    bottleneck: int = Field(100, ge=1)
    """How many numbers a style is."""
    init_std: float = Field(0.01, gt=0)
    """Of the transformer's first weights."""
    initial_scale: float = 0.0
    """What every γ is near before training; from 1, 120 steps left 6 % more loss."""
    predictor_features: str
    predictor_layer: str
    """Its spatial mean stands for the painting."""
    freeze_predictor: bool = True
    """False trains the network under the style as well, as the paper does."""
    features: str
    """Network of the losses, needed in training only. (What looks at a painting whenever the system
    is applied is ``predictor_features``.)"""
    loss_features: str | None = None
    """Network of the losses instead of ``features``, as other systems name it."""
    augment_styles: bool = False
    """Change colours and sizes of the paintings at random; for thousands of them."""


class FrozenStatistics(nn.Module):
    """A network that is trained in evaluation mode, its batch norms with the averages they have."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - torch's signature
        """Stay in evaluation mode."""
        return super().train(False)


class Predicted(Arbitrary[PredictedSettings]):
    """Any painting in one pass: its style vector sets every norm behind the encoder.

    Unlike the paper, the network under the style vector is frozen by default, as in MindSpore's
    port; when it is trained, its batch norms keep their averages. Unlike both, a painting is drawn
    for every photograph anew.
    """

    Settings = PredictedSettings
    multiple: ClassVar[int] = 4
    encoders: ClassVar[tuple[str, ...]] = ("predictor_features",)

    loss_features: LossFeatures

    def __init__(
        self,
        settings: PredictedSettings,
        loss_features: LossFeatures,
        predictor: Features,
        seed: int,
        device: str,
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.loss_features, self.predictor = loss_features, predictor
        self.losses = PerceptualLoss(settings, "gram_positions")
        with seeded(seed):
            networks = _networks(settings, predictor.channels[settings.predictor_layer])
        networks = to_device(networks, device, instance_norm=self.instance_norm)
        if not settings.freeze_predictor:
            networks["predictor"] = FrozenStatistics(predictor.network.requires_grad_(True))
        self.networks = networks

    @classmethod
    def build(cls, settings: PredictedSettings, *, seed: int, device: str) -> Self:
        """Load the network under the style; draw the first weights."""
        s, unit = settings, settings.unit_activations
        s.layer_weights()  # refused before anything is loaded
        layers = (*s.content_layers, *s.style_layers)
        judge = partial(load_features, unit_activations=unit, device=device)
        loss_features = LossFeatures(partial(judge, s.loss_features or s.features, layers))
        predictor = load_features(
            s.predictor_features, [s.predictor_layer], unit_activations=True, device=device
        )
        return cls(settings, loss_features, predictor, seed, device)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Content, style and total-variation losses (Ghiasi et al. 2017, §2).

        Unlike the paper, features have a mean activation of one (``unit_activations``), so that
        its weights, made for pixels of 0-255, do not apply.
        """
        style = batch.style
        if self.settings.augment_styles:
            style = augment_styles(style, batch.generator("augment_styles"))
        with torch.no_grad():
            wanted = self.loss_features(batch.content)
            targets = self.losses.style_targets(self.loss_features(style))
        image = self.apply(batch.content, self.style_vector(style))
        found = self.loss_features(image)
        parts = self.losses.content(found, wanted), self.losses.style(found, targets)
        yield "main", self.losses.weighted(image, *parts, mean=True)

    def style_vector(self, style: Tensor) -> Tensor:
        """(B, 3, h, w) in [0, 1] to the numbers that stand for the style, (B, 100)."""
        (found,) = self.predictor(_enlarged(style)).values()
        vector: Tensor = self.networks["bottleneck"](found.float().mean((2, 3)))
        return vector

    def apply(self, content: Tensor, vector: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] in the style (B, 100) to (B, 3, H, W) in [0, 1]."""
        scale, shift = self.networks["heads"](vector).chunk(2, 1)
        image: Tensor = self.networks["transformer"](content, scale, shift)
        return image

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """Mix the style vectors; below strength 1 with the content's own, the paper's identity."""
        parts = list(zip(styles, weights, strict=True))
        vector = torch.stack([w * self.style_vector(style) for style, w in parts]).sum(0)
        if strength < 1:
            own = self.style_vector(content)
            vector = strength * vector + (1 - strength) * own
        return self.apply(content, vector)

    def card(self) -> dict[str, Any]:
        """What every trained system says, and the network under the style."""
        named = {"predictor": self.predictor.name, "predictor_hash": self.predictor.hash}
        return {**super().card(), **named}


def _networks(s: PredictedSettings, width: int) -> nn.ModuleDict:
    """Transformer, bottleneck and heads with their first weights."""
    topology = Topology(s.encoder_norm, s.pad, s.upsample, s.output, s.conditional_affine)
    transformer = StyleTransformer(topology, s.width)
    initialise(transformer, s.init_std)
    # One layer for all the γ and one for all the β: the same numbers as 13 heads of each.
    heads = nn.Linear(s.bottleneck, 2 * sum(transformer.widths))
    nn.init.normal_(heads.weight, 0.0, HEADS_STD)
    with torch.no_grad():
        heads.bias.zero_()[: sum(transformer.widths)] = s.initial_scale
    bottleneck = nn.Linear(width, s.bottleneck)
    return nn.ModuleDict({"transformer": transformer, "bottleneck": bottleneck, "heads": heads})


def _enlarged(style: Tensor) -> Tensor:
    """The same picture, its short side at least ``SMALLEST``."""
    short = min(style.shape[2:])
    if short >= SMALLEST:
        return style
    size = [round(side * SMALLEST / short) for side in style.shape[2:]]
    return F.interpolate(style, size, mode="bilinear")


METHOD = Predicted
