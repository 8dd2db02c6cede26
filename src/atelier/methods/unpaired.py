"""Unpaired systems: translation between two folders, learnt with discriminators.

The domains are photo and art (paintings); the generators are ``to_art`` and ``to_photo``.

Shapes: B pictures of H×W; inside the networks pixels are in [-1, 1].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from atelier.core.config import UserError
from atelier.methods.base import Extra, Kind
from atelier.methods.trained import Losses, Trained, TrainSettings
from atelier.nn.losses import content_loss, mean_std, mean_std_loss
from atelier.nn.pretrained.features import LossFeatures, load_features

GUIDE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers of the guide, those of AdaIN; the last is the content layer."""
BACK = {"to_art": "to_photo", "to_photo": "to_art"}
"""Direction → its reverse."""


class UnpairedSettings(TrainSettings):
    """Settings of every adversarial system; the defaults are CycleGAN's."""

    batch: int = Field(1, ge=1)
    """Photographs per training step, and as many paintings."""
    lr: float = Field(2e-4, gt=0)
    crop: int = Field(256, ge=32, multiple_of=4)
    """Side of the training crops in pixels; photographs and paintings share batches."""
    beta1: float = Field(0.5, ge=0, lt=1)
    """First beta of Adam; the second is 0.999."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty through Adam, not decoupled."""
    load_size: int | None = Field(286, ge=32)
    """Short side before cropping. Unlike the published codes, which stretch to a square, the aspect
    ratio is kept."""
    loss_features: str | None = None
    """Perceptual network that guides the first ``guide_steps``; None: no guide, as published."""
    guide_steps: int = Field(0, ge=0)
    """Steps over which the guide's weight decays linearly to 0. Until then the generator to art
    also has AdaIN's losses: it keeps relu4_1 of its photograph and takes the moments of the step's
    painting, which differs from step to step, so that it learns what the paintings share. Meant for
    trainings of thousands of steps instead of a million; the final steps are purely adversarial."""
    guide_weight: float = Field(1.0, ge=0)
    """Weight of both guiding losses at the first step."""
    guide_content: float = Field(1.0, ge=0)
    """Weight of the content loss in the guide, relative to its style loss."""
    constant: float = Field(0.5, ge=0, le=1)
    """Fraction of the steps at the full learning rate; afterwards it decays linearly to 0."""


U = TypeVar("U", bound=UnpairedSettings)


class Unpaired(Trained[U]):
    """An adversarial system: ``networks`` has ``generator``, ``discriminator`` and possibly more.

    A subclass implements ``training_losses`` and ``translate``. Its final weights, and their moving
    average, are those of ``generator`` alone.
    """

    kind: ClassVar[Kind] = "unpaired"
    multiple: ClassVar[int] = 4
    directions: ClassVar[tuple[str, ...]] = ("to_art", "to_photo")
    """Directions ``translate`` supports; a one-sided system has the first only."""

    @abstractmethod
    def translate(self, image: Tensor, direction: str) -> Tensor:
        """Translate (B, 3, H, W) in [-1, 1] to the other domain; sides fit ``multiple``."""

    has_heatmap: ClassVar[bool] = False
    """Whether ``heatmap`` can show where a generator looks."""

    def heatmap(self, image: Tensor, direction: str) -> Tensor:
        """Return where the generator of ``direction`` looks, in colour.

        Args:
            image: (B, 3, H, W) in [0, 1]; sides fit ``multiple``.
            direction: one of ``directions``.

        Returns:
            (B, 3, H, W) in [0, 1].

        Raises:
            NotImplementedError: a system without ``has_heatmap``.
        """
        raise NotImplementedError

    loss_features: LossFeatures | None = None
    """Loss network of the guide, if the settings have one."""

    @property
    def inference_networks(self) -> nn.ModuleDict:
        """The generators, which are all that inference needs."""
        return nn.ModuleDict({"generator": self.networks["generator"]})

    def load_guide(self) -> None:
        """Set ``loss_features`` by the settings; its weights are read on first use.

        Raises:
            UserError: steps without a network, or a network without steps.
        """
        s = self.settings
        if bool(s.loss_features) != bool(s.guide_steps):
            raise UserError("a guide needs both loss_features and guide_steps")
        if s.loss_features:
            load = partial(load_features, unit_activations=True, device=self.device)
            self.loss_features = LossFeatures(partial(load, s.loss_features, GUIDE))

    def guide(self, made: Tensor, photo: Tensor, art: Tensor, step: int) -> Losses:
        """Return the guide's weighted losses at ``step``; pictures are (B, 3, H, W) in [-1, 1].

        Empty without a guide; 0 once its weight has decayed.
        """
        s = self.settings
        if self.loss_features is None:
            return {}
        weight = float(s.guide_weight) * max(0.0, 1 - step / s.guide_steps)
        if not weight:
            return {"guide": made.new_zeros(())}
        judge = self.loss_features
        with torch.no_grad():
            content = judge(to_unit(photo))[GUIDE[-1]]
            wanted = {k: mean_std(value) for k, value in judge(to_unit(art)).items()}
        found = judge(to_unit(made))
        style = torch.stack([mean_std_loss(found[k], wanted[k]).mean() for k in GUIDE]).sum()
        kept = content_loss(found[GUIDE[-1]], content).mean()
        return {"guide": weight * (style + float(s.guide_content) * kept)}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return one Adam for each entry of ``networks``."""
        return {name: self.adam(part.parameters()) for name, part in self.networks.items()}

    def adam(self, weights: Iterator[nn.Parameter]) -> Optimizer:
        """Return an Adam with the settings' hyper-parameters."""
        s = self.settings
        betas = (s.beta1, 0.999)
        return Adam(weights, lr=s.lr, betas=betas, weight_decay=s.weight_decay, fused=True)

    def lr_factor(self, step: int) -> float:
        """Return 1, then a linear decay that reaches 0 one step after the end.

        Unlike CycleGAN's code, which changes it once per epoch.
        """
        steps = int(self.settings.steps)
        flat = round(float(self.settings.constant) * steps)
        return 1 - max(0, step + 1 - flat) / (steps - flat + 1)

    def generate(self, content: Tensor, style: Tensor) -> Tensor:  # noqa: ARG002 - see below
        """Translate to art; ``style`` is ignored, the style is that of all training paintings."""
        return self.made(content, "to_art")

    def made(self, image: Tensor, direction: str) -> Tensor:
        """Translate (B, 3, H, W) in [0, 1], sides fit ``multiple``; not yet clamped."""
        return to_unit(self.translate(to_signed(image), direction))

    def extras(self, names: Sequence[str], content: Tensor, style: Tensor) -> Iterator[Extra]:
        """Yield round trips of the photographs and, with two generators, of the paintings."""
        for n, name in enumerate(names):
            yield from self.round_trip(name, "to_art", content[n : n + 1])
            if "to_photo" in self.directions:
                yield from self.round_trip(name, "to_photo", style[n : n + 1])

    def round_trip(self, row: str, direction: str, image: Tensor) -> Iterator[Extra]:
        """Yield a picture (1, 3, H, W), its translation and, if possible, the back-translation."""
        yield Extra(direction, row, "1 input", image[0])
        image = self.apply(image, direction)
        yield Extra(direction, row, "2 translated", image[0])
        if len(self.directions) == 2:
            yield Extra(direction, row, "3 back", self.apply(image, BACK[direction])[0])

    def apply(self, image: Tensor, direction: str) -> Tensor:
        """Translate pictures of any size, in [0, 1]."""
        return self.apply_network(image, lambda x: self.made(x, direction))


def to_signed(image: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1]."""
    return 2 * image - 1


def to_unit(image: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1]."""
    return (image + 1) / 2


def weighed(losses: Losses, weights: Mapping[str, float]) -> Tensor:
    """Return the sum of the losses, each times the weight of the first word of its name."""
    parts = [weights[name.partition("_")[0]] * loss for name, loss in losses.items()]
    return torch.stack(parts).sum()


@contextmanager
def frozen(networks: nn.Module) -> Iterator[None]:
    """Freeze the weights of ``networks``; gradients still flow through them."""
    networks.requires_grad_(False)
    try:
        yield
    finally:
        networks.requires_grad_(True)


class ImagePool:
    """Earlier generated pictures, for the discriminator (Shrivastava et al. 2017, §2.3).

    Until it is full, it stores and returns what it is given; then, with probability ½, it returns a
    stored picture and stores the new one in its place, else it returns the new one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[Tensor] = []

    def query(self, images: Tensor, generator: Generator) -> Tensor:
        """Return as many pictures (B, 3, H, W), new or stored; draws from a CPU ``generator``."""
        return torch.stack([self._one(image, generator) for image in images.detach()])

    def _one(self, image: Tensor, generator: Generator) -> Tensor:
        if len(self.kept) < self.size:
            self.kept.append(image.clone())
            return image
        keep, place = torch.rand(2, generator=generator).tolist()
        if keep < 0.5 or not self.size:
            return image
        place = int(place * self.size)
        old, self.kept[place] = self.kept[place], image.clone()
        return old.to(image.device)
