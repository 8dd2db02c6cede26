"""CNN style transfer: optimise the picture itself (Gatys, Ecker & Bethge, CVPR 2016).

Refinements after crowsonkb/style-transfer-pytorch are switches: pyramid of sizes, averaged
iterates, other poolings, replicate padding, other style statistics.
A batch is optimised at once, yet each picture keeps its own losses and its own optimiser state,
so that its result does not depend on its neighbours.

Shapes: B pictures of H×W, styles h×w.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch.optim import Adam, Optimizer

from atelier.methods.optimisation import Optimisation, OptimisationSettings, Steps, activations
from atelier.nn.lbfgs import GuardedLBFGS
from atelier.nn.losses import StyleLoss, TotalVariation
from atelier.nn.perceptual_loss import PerceptualLoss, PerceptualSettings
from atelier.nn.picture_batches import SMALLEST, refuse_nan
from atelier.nn.pretrained.features import Features, Pooling, load_features
from atelier.nn.pretrained.weights import IMAGENET_MEAN, IMAGENET_STD

Decay = Annotated[float, Field(ge=0, lt=1)]


class GatysSettings(PerceptualSettings, OptimisationSettings):
    """Settings of one ``gatys`` entry in ``params.yaml``."""

    content_layers: tuple[str, ...] = Field(("relu4_2",), min_length=1)
    style_layers: tuple[str, ...] = Field(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), min_length=1
    )
    style_loss: StyleLoss = "gram"
    style_weight: float = Field(1e6, ge=0)
    tv: TotalVariation = "l1_sum"
    optimizer: Literal["adam", "lbfgs"] = "lbfgs"
    lr: float = Field(1.0, gt=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    history: int = Field(100, ge=1)
    variable: Literal["pixel", "normalised", "byte"] = "normalised"
    lr_decay: bool = False
    steps: int = Field(500, ge=1)
    refine_steps: int | None = Field(None, ge=1)
    smallest_size: int | None = Field(None, ge=SMALLEST)
    init: Literal["content", "noise", "grey"] = "content"
    ema: Decay = 0.0
    pooling: Pooling = "max"
    first_padding: Literal["zeros", "replicate"] = "zeros"


class Objective:
    """α·content + β·style + γ·TV for a batch, its targets computed once."""

    def __init__(
        self, settings: GatysSettings, features: Features, content: Tensor, style: Tensor
    ) -> None:
        self.settings, self.features = settings, features
        self.losses = PerceptualLoss(settings, settings.style_loss)
        with torch.no_grad():
            of_content, of_style = self._see(content), self._see(style)
        self.content = {layer: of_content[layer] for layer in settings.content_layers}
        self.style = self.losses.style_targets(of_style)

    def _see(self, image: Tensor) -> dict[str, Tensor]:
        return activations(self.features, image, self.settings.precision)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W), each (B,); ``total`` is the weighted sum."""
        found, losses = self._see(image), self.losses
        content, style = losses.content(found, self.content), losses.style(found, self.style)
        return losses.weighted(image, content, style)


class Canvas:
    """The pictures being optimised, in the unit the optimiser steps in, one leaf per picture."""

    def __init__(self, image: Tensor, unit: str) -> None:
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(IMAGENET_MEAN, device=image.device).view(shape)
        self.std = torch.tensor(IMAGENET_STD, device=image.device).view(shape)
        if unit != "normalised":
            scale = 255.0 if unit == "byte" else 1.0
            self.mean, self.std = torch.zeros_like(self.mean), torch.ones_like(self.std) / scale
        values = (image - self.mean) / self.std
        # contiguous, whatever the level before left: L-BFGS cannot flatten another order
        self.leaves = [v.clone(memory_format=torch.contiguous_format) for v in values.unbind()]
        for leaf in self.leaves:
            leaf.requires_grad_()

    def image(self) -> Tensor:
        """(B, 3, H, W), not yet clamped to [0, 1]."""
        stacked = torch.stack(self.leaves) * self.std + self.mean
        return stacked.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def clamp(self) -> None:
        """Pull every pixel back into [0, 1]."""
        low, high = -self.mean[0] / self.std[0], (1 - self.mean[0]) / self.std[0]
        for leaf in self.leaves:
            torch.maximum(torch.minimum(leaf, high), low, out=leaf)


class Average:
    """Bias-corrected exponential moving average of the iterates; decay 0 is the last iterate."""

    def __init__(self, decay: float) -> None:
        self.decay, self.steps, self.value = decay, 0, torch.zeros(())

    def update(self, image: Tensor) -> Tensor:
        """Add an iterate; returns the average so far, in [0, 1]."""
        self.steps += 1
        self.value = self.decay * self.value + (1 - self.decay) * image.detach()
        return (self.value / (1 - self.decay**self.steps)).clamp(0, 1)


class Gatys(Optimisation[GatysSettings]):
    """Optimisation-based style transfer; nothing is trained."""

    Settings = GatysSettings

    @classmethod
    def build(cls, settings: GatysSettings, *, seed: int, device: str) -> Self:
        """Load the perceptual network the settings name."""
        settings.layer_weights()
        features = load_features(
            settings.features,
            (*settings.content_layers, *settings.style_layers),
            pooling=settings.pooling,
            first_padding=settings.first_padding,
            unit_activations=settings.unit_activations,
            other_scale="warn",
            device=device,
        )
        return cls(settings, features, seed, device)

    def optimise(self, content: Tensor, style: Tensor) -> Steps:
        """Yield the averaged picture of every step, over all sizes of the pyramid."""
        sizes = self._sizes(*content.shape[2:])
        image, warm = self._start(_resize(content, sizes[0])), None
        for level, size in enumerate(sizes):
            small = _shrink(style, size[0] / content.shape[2])
            objective = Objective(self.settings, self.features, _resize(content, size), small)
            canvas = Canvas(_resize(image, size).clamp(0, 1), self.settings.variable)
            optimizers = self._optimizers(canvas, warm)
            for image, losses in self._at_size(objective, canvas, optimizers, self._steps(level)):
                yield image, losses
            warm = optimizers

    def steps(self, height: int, width: int) -> int:
        """Steps over all sizes of the pyramid."""
        return sum(self._steps(level) for level in range(len(self._sizes(height, width))))

    def _sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Pyramid, ascending: the full size over √2, over 2, … down to ``smallest_size``.

        A long picture ends earlier, where its short side would fall below ``SMALLEST``.
        """
        sizes, least = [(height, width)], self.settings.smallest_size or max(height, width)
        while max(sizes[0]) / 2**0.5 >= least - 0.5:
            factor = 2 ** (-len(sizes) / 2)
            size = round(height * factor), round(width * factor)
            if min(size) < SMALLEST:
                break
            sizes.insert(0, size)
        return sizes

    def _steps(self, level: int) -> int:
        return (
            self.settings.steps if level == 0 else self.settings.refine_steps or self.settings.steps
        )

    def _start(self, content: Tensor) -> Tensor:
        """First iterate; noise is the same for every picture, so no neighbour changes it."""
        if self.settings.init == "content":
            return content
        generator = torch.Generator().manual_seed(self.seed)
        shape = content.shape[1:]
        if self.settings.init == "noise":
            noise = torch.randn(shape, generator=generator) * 0.25 + 0.5
        else:
            noise = torch.rand(shape, generator=generator) / 255 + 0.5
        return noise.clamp(0, 1).to(content).expand_as(content)

    def _optimizers(self, canvas: Canvas, warm: list[Optimizer] | None) -> list[Optimizer]:
        """Adam for all (it works pixel by pixel); one L-BFGS per picture (it does not)."""
        s = self.settings
        if s.optimizer == "lbfgs":
            return [GuardedLBFGS(leaf, s.lr, s.history) for leaf in canvas.leaves]
        adam = Adam(canvas.leaves, lr=s.lr, betas=s.betas)
        if warm:
            _warm_start(adam, warm[0])
        return [adam]

    def _at_size(
        self, objective: Objective, canvas: Canvas, optimizers: list[Optimizer], steps: int
    ) -> Steps:
        """Yield the averaged picture after each of ``steps`` evaluations, the losses before it."""
        average, before = Average(self.settings.ema), dict[str, Tensor]()
        for step in range(steps):
            for optimizer in optimizers:
                optimizer.zero_grad()
            losses = objective(canvas.image())
            torch.autograd.backward(losses["total"].sum())
            if step == 0 or self.settings.optimizer == "adam":  # L-BFGS goes back to its best
                refuse_nan(losses["total"], step, "lower lr or the style weight")
            self._set_lr(optimizers, step, steps)
            self._step(optimizers, losses["total"].detach(), last=step == steps - 1)
            if self.settings.optimizer == "adam":
                canvas.clamp()  # not for L-BFGS, unlike the tutorial: it would break its curvature
            with torch.no_grad():
                finite = losses["total"].isfinite()
                before = {k: torch.where(finite, v, before.get(k, v)) for k, v in losses.items()}
                picture = average.update(canvas.image())
            yield picture, before  # outside, so that the caller keeps its own gradient mode

    def _set_lr(self, optimizers: list[Optimizer], step: int, steps: int) -> None:
        """Linear decay to a tenth: at lr 0.2 the pixels still jitter when the steps run out."""
        if self.settings.lr_decay:
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.settings.lr * (1 - 0.9 * step / max(1, steps - 1))

    def _step(self, optimizers: list[Optimizer], totals: Tensor, *, last: bool) -> None:
        for optimizer, total in zip(optimizers, totals, strict=False):
            if isinstance(optimizer, GuardedLBFGS):
                optimizer.advance(total.item(), last=last)
            else:
                optimizer.step()


def _shrink(style: Tensor, factor: float) -> Tensor:
    """Style at a level of the pyramid: as much smaller as the content, yet not too small."""
    height, width = style.shape[2:]
    factor = max(factor, SMALLEST / min(height, width))
    return _resize(style, (round(height * factor), round(width * factor)))


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


@torch.no_grad()
def _warm_start(adam: Adam, before: Optimizer) -> None:
    """Carry Adam's moments to the next size (crowsonkb): bicubic, and bilinear kept positive."""
    old = [before.state[p] for p in before.param_groups[0]["params"]]
    for leaf, state in zip(adam.param_groups[0]["params"], old, strict=True):
        size = leaf.shape[1:]
        first = F.interpolate(state["exp_avg"][None], size, mode="bicubic")[0]
        second = F.interpolate(state["exp_avg_sq"][None], size, mode="bilinear")[0]
        adam.state[leaf] = {
            "step": state["step"].clone(),
            "exp_avg": first,
            "exp_avg_sq": second.clamp_min(0),
        }


METHOD = Gatys
