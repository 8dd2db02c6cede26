"""MetaNet: a hyper-network generates a transformer for any painting in one pass.

Shen, Yan & Zeng, "Neural style transfer via meta networks" (CVPR 2018), following the PyTorch port
CortexFoundation/StyleTransferTrilogy and the variants of a course report. The networks are in
``nn/hypernet.py``.

Shapes: B pictures of H×W, S styles, D statistics per style (1920 with VGG's widths).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from atelier.core import images
from atelier.core.batches import Batch, BatchPlan
from atelier.core.config import UserError
from atelier.core.purpose import ApplySetting
from atelier.methods.base import Iterate
from atelier.methods.trained import Arbitrary, ArbitrarySettings, Losses, seeded
from atelier.nn.colour_transfer import recolour
from atelier.nn.hypernet import HyperNet, MetaNetworks, Middle, Padding, TransformNet
from atelier.nn.losses import Target, TotalVariation, mean_square, mean_std
from atelier.nn.memory import to_device
from atelier.nn.perceptual_loss import PerceptualLoss, PerceptualSettings
from atelier.nn.pretrained.features import Features, LossFeatures, load_features


class MetaNetSettings(PerceptualSettings, ArbitrarySettings):
    """Settings of one ``metanet`` entry in ``params.yaml``; the defaults are the port's."""

    lr: float = Field(1e-3, gt=0)
    style_every: int = Field(20, ge=1)
    """Number of consecutive steps with the same painting."""
    features: str
    """Encoder of the painting, also needed to apply the system: its statistics are the input of the
    hyper-network."""
    loss_features: str | None = None
    """Loss network, needed in training only; None: ``features``."""
    statistics_layers: tuple[str, ...] | None = Field(None, min_length=1)
    """Layers of ``features`` whose statistics the hyper-network takes; None: ``style_layers``."""
    unit_activations: bool = True
    """False feeds unscaled statistics, as in the port. Caffe's weights, whose statistics are in the
    hundreds, are refused: the style would outweigh the content ten million times."""
    style_loss: Literal["mean_std", "gram", "gram_positions"] = "mean_std"
    """``gram`` divides by C·H·W and nearly ignores deep layers, ``gram_positions`` by H·W.
    ``mean_std`` has no layer weights: each layer counts by its width."""
    style_weight: float = Field(50.0, ge=0)
    """50 with ``mean_std`` (the port), 3e5 with ``gram`` (the report), both on raw features. On
    VGG19's scaled ones the style counts 12 times as much: there 4 corresponds to 50."""
    tv_weight: float = Field(1e-6, ge=0)
    tv: TotalVariation = "l1_sum"
    width: int = Field(32, ge=4)
    """Channels of the first layer: 32, 16 or 8 in the paper."""
    middle: Middle = "resnet"
    padding: Padding = "same"
    branches: int = Field(32, ge=1)
    branch_width: int = Field(4, ge=1)
    """Channels per branch of the ResNeXt block; not stated in the report (4 or 128)."""
    hidden: int = Field(128, ge=1)
    """Units per generated convolution in the hidden layer of the hyper-network."""
    standardise: bool = False
    """Standardise the statistics by mean and deviation over ``SAMPLED`` paintings."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled (AdamW). Nearly every filter is followed by an instance norm, so its scale has no
    effect, its gradient is orthogonal to it, and without decay its norm grows with every step."""
    adapt_steps: ApplySetting[int] = Field(0, ge=0)
    """Steps for which a copy of the trained networks is fine-tuned on the pair to be stylised."""
    adapt_lr: ApplySetting[float] = Field(1e-3, gt=0)

    def seen_layers(self) -> tuple[str, ...]:
        """Layers of the statistics that the hyper-network takes."""
        return self.statistics_layers or self.style_layers


SAMPLED = 32
"""Number of paintings whose statistics are measured before training."""


@dataclass(frozen=True)
class Targets:
    """Targets of the losses."""

    content: dict[str, Tensor]
    """Layer → (B, C, h, w)."""
    grams: dict[str, Target]
    """Layer → Gram matrices (S, C, C), S being 1 or B; {} for other style losses."""
    moments: Tensor
    """Means and standard deviations of ``loss_features``, (S, D)."""
    statistics: Tensor
    """Statistics that the hyper-network takes, (S, D)."""
    varied: Tensor
    """(B,): whether a content has more than one colour."""


class MetaNet(Arbitrary[MetaNetSettings]):
    """Statistics of a painting → filters of a transformer → the stylised photograph."""

    Settings = MetaNetSettings

    features: Features
    loss_features: Features | LossFeatures

    def __init__(
        self,
        settings: MetaNetSettings,
        features: Features,
        loss_features: Features | LossFeatures,
        seed: int,
        device: str,
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.features, self.loss_features = features, loss_features
        self.losses = PerceptualLoss(settings, settings.style_loss)
        s, statistics = settings, 2 * sum(features.channels[k] for k in settings.seen_layers())
        with seeded(seed):
            transformer = TransformNet(s.width, s.middle, s.padding, s.branches, s.branch_width)
            networks = MetaNetworks(transformer, statistics, s.hidden)
        self.networks = to_device(networks, device)

    @classmethod
    def build(cls, settings: MetaNetSettings, *, seed: int, device: str) -> Self:
        """Load the encoder named in the settings; initialise the networks.

        Raises:
            UserError: ``adapt_steps`` with a strength below 1.
        """
        if settings.adapt_steps and settings.strength < 1:
            raise UserError("metanet: adapt_steps trains for the whole style: set strength to 1")
        settings.layer_weights()
        s, unit = settings, settings.unit_activations
        judged, apart = (*s.content_layers, *s.style_layers), s.loss_features
        load = partial(load_features, unit_activations=unit, other_scale="refuse", device=device)
        features = load(s.features, s.seen_layers() if apart else (*judged, *s.seen_layers()))
        losses = LossFeatures(partial(load, apart, judged)) if apart else features
        return cls(s, features, losses, seed, device)

    def plan(self) -> BatchPlan:
        """Return the plan of the batches: one painting per step, kept for ``style_every`` steps."""
        return replace(super().plan(), style_batch=1, style_every=self.settings.style_every)

    def training_styles(self, paintings: Sequence[Path]) -> Sequence[Path]:
        """Return all paintings; measure their statistics first if the settings say so."""
        if self.settings.standardise:
            few = paintings[:: max(1, len(paintings) // SAMPLED)]
            loaded = (images.load_batch([path]).to(self.device) for path in few)
            with torch.no_grad():
                found = torch.cat([self.statistics(picture) for picture in loaded])
            self.network(HyperNet, "hyper").standardise(found)
        return paintings

    def optimizers(self) -> dict[str, Optimizer]:
        """Return AdamW for both networks; without ``weight_decay`` it is the port's Adam."""
        return {"main": self._optimizer(self.networks, self.settings.lr)}

    def _optimizer(self, networks: nn.ModuleDict, lr: float) -> Optimizer:
        weights, decay = networks.parameters(), self.settings.weight_decay
        return AdamW(weights, lr=lr, weight_decay=decay, fused=True)

    def statistics(self, style: Tensor) -> Tensor:
        """Return the statistics (S, D) of paintings (S, 3, h, w) in [0, 1].

        Raises:
            UserError: the picture is too small to have a variance in every layer.
        """
        return _statistics(self.features(style), self.settings.seen_layers())

    @torch.no_grad()
    def targets(self, content: Tensor, style: Tensor) -> Targets:
        """Return the targets for contents (B, 3, H, W) and styles (S, 3, h, w), both in [0, 1]."""
        s, judge, seen = self.settings, self.loss_features, self.features(style)
        wanted, shown = judge(content), seen if judge is self.features else judge(style)
        grams = {} if s.style_loss == "mean_std" else self.losses.style_targets(shown)
        varied = content.flatten(2).std(2).amax(1) > 1e-6
        moments, statistics = _statistics(shown, s.style_layers), _statistics(seen, s.seen_layers())
        return Targets({k: wanted[k] for k in s.content_layers}, grams, moments, statistics, varied)

    def perceptual_losses(self, image: Tensor, targets: Targets) -> Losses:
        """Return the losses of stylised pictures (B, 3, H, W), (B,) each."""
        made = self.loss_features(image)
        content, style = self.losses.content(made, targets.content), self._style(made, targets)
        # Unlike the port, TV in RGB: the port's pictures are standardised, with 4.4 times the TV.
        losses = self.losses.weighted(image, content, style)
        # For a picture without variance, 14 instance norms, each dividing by the root of 1e-5, make
        # the gradient overflow: it is detached. (The port skips the batch.)
        return {k: torch.where(targets.varied, loss, loss.detach()) for k, loss in losses.items()}

    def _style(self, found: Mapping[str, Tensor], targets: Targets) -> Tensor:
        if self.settings.style_loss == "mean_std":
            # One mean over all entries, as in the port: layers are weighted by their width.
            return mean_square(_statistics(found, self.settings.style_layers), targets.moments)
        # The report does not state the scale of its Gram matrices: here C·H·W with ``gram``.
        return self.losses.style(found, targets.grams)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield the losses of the photographs with the one painting, and two norms for the log.

        ``generated_norm`` is the root mean square of all generated numbers, ``first_weight`` that
        of the first 9×9 filter, whose growth the report shows (figure 5).
        """
        targets = self.targets(batch.content, batch.style)
        image, filters = self.networks(batch.content, targets.statistics)
        losses = {
            name: loss.mean() for name, loss in self.perceptual_losses(image, targets).items()
        }
        first = self.networks.get_parameter("transformer.first.weight")
        watched = {"generated_norm": _rms(torch.cat(filters, 1)), "first_weight": _rms(first)}
        yield "main", {**losses, **watched}

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """Stylise with mixed statistics of the styles and, below strength 1, of the content."""
        parts = [w * self.statistics(style) for style, w in zip(styles, weights, strict=True)]
        mixed = torch.stack(parts).sum(0)
        if strength < 1:
            mixed = strength * mixed + (1 - strength) * self.statistics(content)
        image: Tensor = self.networks(content, mixed)[0]
        return image

    @property
    def batch(self) -> int:
        """Number of pictures per ``stylize``; 1 if each needs its own copy of the networks."""
        return 1 if self.settings.adapt_steps else int(self.settings.stylize_batch)

    def steps(self, height: int, width: int) -> int:  # noqa: ARG002 - see the base class
        """Return the number of iterates: the first, and one per adaptation step."""
        return 1 + int(self.settings.adapt_steps)

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        """Yield one iterate, or one before and after each step of adapting the networks.

        The report fine-tunes on 20 batches of training photographs before applying a painting. Here
        the steps use the photograph itself, as no others are available. Every pair has its own copy
        of the networks, so no result depends on another.
        """
        if not self.settings.adapt_steps:
            yield from super().iterates(content, style)
            return
        content, style = content.to(self.device), style.to(self.device)
        if self.settings.preserve_colour:
            style = recolour(style, content)
        pairs = zip(content.unsqueeze(1), style.unsqueeze(1), strict=True)
        for n, found in enumerate(zip(*(self._adapt(*pair) for pair in pairs), strict=True), 1):
            image = torch.cat([picture for picture, _ in found]).float().clamp(0, 1)
            losses = {k: torch.cat([own[k] for _, own in found]) for k in found[0][1]}
            yield Iterate(n, self.steps(*content.shape[2:]), image, losses)

    def _adapt(self, content: Tensor, style: Tensor) -> Iterator[tuple[Tensor, Losses]]:
        """Yield picture and losses of a copy of the networks, after 0 to ``adapt_steps`` steps."""
        networks, targets = deepcopy(self.networks), self.targets(content, style)
        optimizer = self._optimizer(networks, self.settings.adapt_lr)
        for left in reversed(range(self.settings.adapt_steps + 1)):
            image, _ = networks(content, targets.statistics)
            losses = self.perceptual_losses(image, targets)
            if left:
                optimizer.zero_grad()
                torch.autograd.backward(losses["total"].sum())
                optimizer.step()
            yield image.detach(), {name: loss.detach() for name, loss in losses.items()}


def _statistics(found: Mapping[str, Tensor], layers: Sequence[str]) -> Tensor:
    """Return mean_0, std_0, mean_1, std_1, … layer by layer (unbiased, 1e-5 under the root)."""
    taken = [found[layer] for layer in layers]
    if min(value[0, 0].numel() for value in taken) < 2:
        raise UserError("metanet: a picture is too small for its statistics: 32 px will do")
    return torch.cat([torch.stack(mean_std(value), 2).flatten(1) for value in taken], 1)


def _rms(value: Tensor) -> Tensor:
    return value.detach().float().square().mean().sqrt()


METHOD = MetaNet
