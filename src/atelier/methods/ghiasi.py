"""Arbitrary stylisation by predicted norms (Ghiasi, Lee, Kudlur, Dumoulin & Shlens, BMVC 2017).

A frozen encoder computes the painting's mean activation; two linear layers map it to the scales and
shifts of a fast transformer. The 100 numbers between them are the style vector, and can be mixed.

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
"""Standard deviation of the heads' initial weights. Unlike magenta's (Xavier), with which the
initial γ and β are random but as large as trained ones: after 60 steps the loss was twice as
high."""


class PredictedSettings(PerceptualSettings, ArbitrarySettings):
    """Settings of one ``arbitrary`` entry in ``params.yaml``; the defaults are the paper's layout.

    MindSpore's port: ``encoder_norm: in``, ``pad: zero``, ``upsample: bilinear``, ``output: tanh``,
    ``conditional_affine: true``, ``init_std: 0.02``.
    """

    encoder_norm: EncoderNorm = "bn"
    """Norm of the encoder part. ``in``: instance norm with learnt scale and shift, without running
    averages."""
    pad: Pad = "reflect"
    upsample: Upsample = "nearest"
    output: Output = "sigmoid"
    conditional_affine: bool = False
    """Whether the conditional norms also have a learnt scale and shift."""
    width: int = Field(32, ge=4)
    """Channels of the transformer's first layer; 32 in the published networks."""
    bottleneck: int = Field(100, ge=1)
    """Dimensions of the style vector."""
    init_std: float = Field(0.01, gt=0)
    """Standard deviation of the transformer's initial weights."""
    initial_scale: float = 0.0
    """Initial value of every γ; with 1, the loss was 6 % higher after 120 steps."""
    predictor_features: str
    predictor_layer: str
    """Layer of the style encoder whose spatial mean represents the painting."""
    freeze_predictor: bool = True
    """False trains the style encoder as well, as in the paper."""
    features: str
    """Loss network, needed in training only. (The style encoder, needed to apply the system, is
    ``predictor_features``.)"""
    loss_features: str | None = None
    """Alias of ``features`` here, the loss network, as other systems name it; takes precedence."""
    augment_styles: bool = False
    """Augment colours and sizes of the paintings, to imitate thousands of them."""


class FrozenStatistics(nn.Module):
    """A network trained in evaluation mode: its batch norms use their stored averages."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - torch's signature
        """Stay in evaluation mode."""
        return super().train(False)


class Predicted(Arbitrary[PredictedSettings]):
    """Arbitrary style transfer: the style vector sets every norm after the encoder.

    Unlike the paper, the style encoder is frozen by default, as in MindSpore's port; if it is
    trained, its batch norms keep their averages. Unlike both, a new painting is drawn for every
    photograph.
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
        networks = to_device(networks, device)
        if not settings.freeze_predictor:
            networks["predictor"] = FrozenStatistics(predictor.network.requires_grad_(True))
        self.networks = networks

    @classmethod
    def build(cls, settings: PredictedSettings, *, seed: int, device: str) -> Self:
        """Load the style encoder; initialise the weights."""
        s, unit = settings, settings.unit_activations
        s.layer_weights()  # refused before anything is loaded
        layers = (*s.content_layers, *s.style_layers)
        judge = partial(load_features, unit_activations=unit, other_scale="warn", device=device)
        loss_features = LossFeatures(partial(judge, s.loss_features or s.features, layers))
        predictor = load_features(
            s.predictor_features, [s.predictor_layer], unit_activations=True, device=device
        )
        return cls(settings, loss_features, predictor, seed, device)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield content, style and total-variation losses (Ghiasi et al. 2017, §2).

        Unlike the paper, features have a mean activation of one (``unit_activations``), so its loss
        weights, tuned for pixels of 0-255, do not apply.
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
        """Return the style vectors (B, 100) of paintings (B, 3, h, w) in [0, 1]."""
        (found,) = self.predictor(_enlarged(style)).values()
        vector: Tensor = self.networks["bottleneck"](found.float().mean((2, 3)))
        return vector

    def apply(self, content: Tensor, vector: Tensor) -> Tensor:
        """Stylise (B, 3, H, W) in [0, 1] with style vectors (B, 100); same shape and range."""
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
        """Stylise with mixed style vectors; below strength 1 the content's is one of them."""
        parts = list(zip(styles, weights, strict=True))
        vector = torch.stack([w * self.style_vector(style) for style, w in parts]).sum(0)
        if strength < 1:
            own = self.style_vector(content)
            vector = strength * vector + (1 - strength) * own
        return self.apply(content, vector)

    def card(self) -> dict[str, Any]:
        """Return the card of a trained system, and the style encoder."""
        named = {"predictor": self.predictor.name, "predictor_hash": self.predictor.hash}
        return {**super().card(), **named}


def _networks(s: PredictedSettings, width: int) -> nn.ModuleDict:
    """Return transformer, bottleneck and heads with initial weights."""
    topology = Topology(s.encoder_norm, s.pad, s.upsample, s.output, s.conditional_affine)
    transformer = StyleTransformer(topology, s.width)
    initialise(transformer, s.init_std)
    # One layer for all γ and one for all β: equivalent to 13 heads of each.
    heads = nn.Linear(s.bottleneck, 2 * sum(transformer.widths))
    nn.init.normal_(heads.weight, 0.0, HEADS_STD)
    with torch.no_grad():
        heads.bias.zero_()[: sum(transformer.widths)] = s.initial_scale
    bottleneck = nn.Linear(width, s.bottleneck)
    return nn.ModuleDict({"transformer": transformer, "bottleneck": bottleneck, "heads": heads})


def _enlarged(style: Tensor) -> Tensor:
    """Enlarge a painting whose short side is below ``SMALLEST``."""
    short = min(style.shape[2:])
    if short >= SMALLEST:
        return style
    size = [round(side * SMALLEST / short) for side in style.shape[2:]]
    return F.interpolate(style, size, mode="bilinear")


METHOD = Predicted
