"""MetaNet: a hyper-network makes a transformer for any painting in one pass.

Shen, Yan & Zeng, "Neural style transfer via meta networks" (CVPR 2018), as the PyTorch port
CortexFoundation/StyleTransferTrilogy and a course report's variants have it. The networks stand in
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
    """Steps for which one painting stays."""
    features: str
    """Looks at the painting whenever the system is applied: its statistics are what the
    hyper-network gets."""
    loss_features: str | None = None
    """Network of the losses, needed in training only; None: ``features``."""
    statistics_layers: tuple[str, ...] | None = Field(None, min_length=1)
    """Layers of ``features`` whose statistics the hyper-network gets; None: ``style_layers``."""
    unit_activations: bool = True
    """The statistics are fed as they are, as in the port. Those of weights from Caffe are in the
    hundreds: scaled features keep the hyper-network's input in range."""
    style_loss: Literal["mean_std", "gram", "gram_positions"] = "mean_std"
    """``gram`` divides by C·H·W and scarcely counts deep layers, ``gram_positions`` by H·W.
    ``mean_std`` knows no weights of layers: each counts by its width."""
    style_weight: float = Field(50.0, ge=0)
    """50 with ``mean_std`` (the port), 3e5 with ``gram`` (the report), both on raw features. On a
    VGG19's scaled ones the style counts 12 times as much: there 4 stands for 50."""
    tv_weight: float = Field(1e-6, ge=0)
    tv: TotalVariation = "l1_sum"
    width: int = Field(32, ge=4)
    """Channels of the first layer: 32, 16 or 8 in the paper."""
    middle: Middle = "resnet"
    padding: Padding = "same"
    branches: int = Field(32, ge=1)
    branch_width: int = Field(4, ge=1)
    """Channels per branch of the ResNeXt block; the report does not state it (4 or 128)."""
    hidden: int = Field(128, ge=1)
    """Units per generated convolution in the hidden layer of the hyper-network."""
    standardise: bool = False
    """Count the statistics from their mean over ``SAMPLED`` paintings, in their spread."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled (AdamW). Nearly every filter is followed by an instance norm, so its scale changes
    nothing, its gradient is orthogonal to it, and without decay every step makes it longer."""
    adapt_steps: ApplySetting[int] = Field(0, ge=0)
    """Steps a copy of the trained networks is trained on the pair it is about to stylise."""
    adapt_lr: ApplySetting[float] = Field(1e-3, gt=0)

    def seen_layers(self) -> tuple[str, ...]:
        """Layers of the statistics the hyper-network gets."""
        return self.statistics_layers or self.style_layers


SAMPLED = 32
"""Paintings whose statistics are measured before the training."""


@dataclass(frozen=True)
class Targets:
    """What transformed pictures are compared with."""

    content: dict[str, Tensor]
    """Layer → (B, C, h, w)."""
    grams: dict[str, Target]
    """Layer → (S, C, C), S being 1 or B; {} unless the style loss is one of them."""
    moments: Tensor
    """Means and standard deviations in the space of the losses, (S, D)."""
    statistics: Tensor
    """Those that the hyper-network gets, (S, D)."""
    varied: Tensor
    """(B,): whether a content is more than one colour."""


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
        self.networks = to_device(networks, device, instance_norm=self.instance_norm)

    @classmethod
    def build(cls, settings: MetaNetSettings, *, seed: int, device: str) -> Self:
        """Load the perceptual network the settings name; draw the first weights.

        Raises:
            UserError: adaptation at a strength below 1.
        """
        if settings.adapt_steps and settings.strength < 1:
            raise UserError("metanet: adapt_steps trains for the whole style: set strength to 1")
        settings.layer_weights()
        s, unit = settings, settings.unit_activations
        judged, apart = (*s.content_layers, *s.style_layers), s.loss_features
        load = partial(load_features, unit_activations=unit, device=device)
        features = load(s.features, s.seen_layers() if apart else (*judged, *s.seen_layers()))
        losses = LossFeatures(partial(load, apart, judged)) if apart else features
        return cls(s, features, losses, seed, device)

    def plan(self) -> BatchPlan:
        """One painting for all pictures of a step, and for ``style_every`` steps."""
        return replace(super().plan(), style_batch=1, style_every=self.settings.style_every)

    def training_styles(self, paintings: Sequence[Path]) -> Sequence[Path]:
        """All of them; where asked for, their statistics are measured first."""
        if self.settings.standardise:
            few = paintings[:: max(1, len(paintings) // SAMPLED)]
            loaded = (images.load_batch([path]).to(self.device) for path in few)
            with torch.no_grad():
                found = torch.cat([self.statistics(picture) for picture in loaded])
            self.network(HyperNet, "hyper").standardise(found)
        return paintings

    def optimizers(self) -> dict[str, Optimizer]:
        """Both networks together; without ``weight_decay`` AdamW is the port's Adam."""
        return {"main": self._optimizer(self.networks, self.settings.lr)}

    def _optimizer(self, networks: nn.ModuleDict, lr: float) -> Optimizer:
        weights, decay = networks.parameters(), self.settings.weight_decay
        return AdamW(weights, lr=lr, weight_decay=decay, fused=True)

    def statistics(self, style: Tensor) -> Tensor:
        """(S, 3, h, w) in [0, 1] to (S, D).

        Raises:
            UserError: the picture is too small to have a variance in every layer.
        """
        return _statistics(self.features(style), self.settings.seen_layers())

    @torch.no_grad()
    def targets(self, content: Tensor, style: Tensor) -> Targets:
        """What ``perceptual_losses`` needs of (B, 3, H, W) and (S, 3, h, w), both in [0, 1]."""
        s, judge, seen = self.settings, self.loss_features, self.features(style)
        wanted, shown = judge(content), seen if judge is self.features else judge(style)
        grams = {} if s.style_loss == "mean_std" else self.losses.style_targets(shown)
        varied = content.flatten(2).std(2).amax(1) > 1e-6
        moments, statistics = _statistics(shown, s.style_layers), _statistics(seen, s.seen_layers())
        return Targets({k: wanted[k] for k in s.content_layers}, grams, moments, statistics, varied)

    def perceptual_losses(self, image: Tensor, targets: Targets) -> Losses:
        """Losses of transformed pictures (B, 3, H, W), (B,) each."""
        made = self.loss_features(image)
        content, style = self.losses.content(made, targets.content), self._style(made, targets)
        # Unlike the port, TV in RGB: its pictures are in standard deviations, 4.4 times as rough.
        losses = self.losses.weighted(image, content, style)
        # 14 instance norms of a picture without variance, each a division by the root of 1e-5, let
        # its gradient overflow: it is cut off. (The port leaves out the whole batch.)
        return {k: torch.where(targets.varied, loss, loss.detach()) for k, loss in losses.items()}

    def _style(self, found: Mapping[str, Tensor], targets: Targets) -> Tensor:
        if self.settings.style_loss == "mean_std":
            # One mean over all entries, as in the port: a layer counts by its width.
            return mean_square(_statistics(found, self.settings.style_layers), targets.moments)
        # The report does not say how its Gram matrices are scaled: by C·H·W with ``gram``.
        return self.losses.style(found, targets.grams)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Losses of the photographs with the one painting, and two norms that are watched.

        ``generated_norm`` is the root mean square of all generated numbers, ``first_weight`` that
        of the first 9×9 filter, whose growth the report plots (figure 5).
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
        """Mix the statistics of the styles and, below strength 1, of the content."""
        parts = [w * self.statistics(style) for style, w in zip(styles, weights, strict=True)]
        mixed = torch.stack(parts).sum(0)
        if strength < 1:
            mixed = strength * mixed + (1 - strength) * self.statistics(content)
        image: Tensor = self.networks(content, mixed)[0]
        return image

    @property
    def batch(self) -> int:
        """Pictures per ``stylize``; one if each needs its own copy of the networks."""
        return 1 if self.settings.adapt_steps else int(self.settings.stylize_batch)

    def steps(self, height: int, width: int) -> int:  # noqa: ARG002 - see the base class
        """The first picture, and one after every step of adaptation."""
        return 1 + int(self.settings.adapt_steps)

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        """One iterate, or the pictures before, while and after the networks are adapted.

        The report trains 20 batches of training photographs with the painting before it applies
        it. Unlike there, the steps are done on the very photograph: no others are at hand here.
        Every pair has its own copy, so no result depends on another.
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
        """Picture and losses of a copy of the networks, from 0 steps to ``adapt_steps``."""
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
    """Layer by layer mean_0, std_0, mean_1, std_1, … (unbiased, 1e-5 under the root)."""
    taken = [found[layer] for layer in layers]
    if min(value[0, 0].numel() for value in taken) < 2:
        raise UserError("metanet: a picture is too small for its statistics: 32 px will do")
    return torch.cat([torch.stack(mean_std(value), 2).flatten(1) for value in taken], 1)


def _rms(value: Tensor) -> Tensor:
    return value.detach().float().square().mean().sqrt()


METHOD = MetaNet
