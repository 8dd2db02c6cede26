"""The contract of systems that are trained: their networks, losses and how they are applied.

``engine.py`` runs the training and knows no more of a method than what stands here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from atelier.core import records, zoo_files
from atelier.core.batches import Batch, BatchPlan
from atelier.core.checkpoints import again, load_weights
from atelier.core.config import Settings, UserError
from atelier.core.files import read_record
from atelier.core.paths import CARD, WEIGHTS
from atelier.core.purpose import ApplySetting, RunSetting
from atelier.methods.base import Extra, Iterate, Kind, Method
from atelier.nn.colour_transfer import recolour
from atelier.nn.memory import memory_format
from atelier.nn.padding import fitted
from atelier.nn.pretrained.features import Features, LossFeatures

Losses = dict[str, Tensor]
"""``total`` is minimised; the other entries (scalars) are only logged."""


class TrainSettings(Settings):
    """Settings every trained system has."""

    steps: int = Field(ge=0)
    """Of training; 0: the weights of ``warm_start`` as they are."""
    batch: int = Field(8, ge=1)
    """Photographs per training step."""
    lr: float = Field(1e-4, gt=0)
    crop: int | None = Field(256, ge=32)
    """Side of the training crops in pixels; None: whole pictures."""
    load_size: int | None = Field(None, ge=32)
    """Short side the pictures are resized to before cropping; None: as they are."""
    smallest_side: float = Field(1.0, gt=0, le=1)
    """Least side of a crop as a part of the short side; 1: crops are not resized."""
    flip: bool = True
    photos: int | None = Field(None, ge=1)
    """How many training photographs are used, a seeded choice; None: all."""
    styles: int | None = Field(None, ge=1)
    """How many training paintings are used, a seeded choice; None: all."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the average of the weights that is delivered; 0: the last weights."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest norm of the gradient, over all parameters of an optimiser."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions in training; losses' statistics stay in float32."""
    accumulate: int = Field(1, ge=1)
    """Parts of the batch that are computed one after another, to save memory: the same gradient."""
    compile: bool = False
    """Let torch.compile fuse the networks: slow first steps, faster ones on a GPU."""
    snapshots: RunSetting[int] = Field(5, ge=0)
    """How many times in the training the test sheet is drawn, evenly spread, the end included."""
    save_minutes: RunSetting[float] = Field(10.0, ge=0)
    """Minutes between resumable states, which is what a training killed by force can lose; 0: one
    after every step."""
    log_every: RunSetting[int] = Field(10, ge=1)
    """Steps whose mean is one point of the curves."""
    workers: RunSetting[int] = Field(0, ge=0)
    """Processes that read pictures ahead."""
    stylize_batch: ApplySetting[int] = Field(8, ge=1)
    """Pictures at once when it is applied."""
    warm_start: str | None = None
    """Weights to begin with: ``zoo`` (the zoo's entry of the method's name) or ``zoo:NAME``, which
    DVC watches; or a path below the project's root, which it does not: a ``model.safetensors``
    (the final weights: of an adversarial system the generators) or a training's ``step-….pt`` (all
    networks)."""

    @model_validator(mode="after")
    def _begins_or_learns(self) -> Self:
        if not self.steps and not self.warm_start:
            raise ValueError("steps: 0 trains nothing; set warm_start, or train")
        return self


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Weights drawn inside depend on ``seed`` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


T = TypeVar("T", bound=TrainSettings)
N = TypeVar("N", bound=nn.Module)


class Trained(Method[T]):
    """A system with networks to train.

    A subclass sets ``settings``, ``networks`` (what is trained, saved and averaged), ``device`` and
    ``seed`` in its ``build``, and implements ``training_losses`` and ``generate``.
    """

    networks: nn.ModuleDict
    device: str
    seed: int
    features: Features | None = None
    """The frozen network the system looks at pictures with whenever it is applied, if any."""
    loss_features: Features | LossFeatures | None = None
    """The frozen network of the training's losses, if any; may be ``features``."""
    multiple: ClassVar[int] = 1
    """``generate`` needs sides that are multiples of this; others are padded and cut."""
    instance_norm: ClassVar[bool] = True
    """Whether ``networks`` have instance norms; see ``nn/memory.py``."""

    @property
    def inference_networks(self) -> nn.ModuleDict:
        """The part of ``networks`` that ``generate`` needs: delivered, and averaged by ``ema``."""
        return self.networks

    def network(self, kind: type[N], *path: str) -> N:  # noqa: ARG002 - its type is what is asked for
        """Return the network below ``path`` in ``networks``, which the caller knows to be one."""
        return cast("N", self.networks.get_submodule(".".join(path)))

    @property
    def memory_format(self) -> torch.memory_format:
        """How its batches lie in memory."""
        return memory_format(self.device, instance_norm=self.instance_norm)

    def check(self, height: int, width: int) -> None:
        """Refuse photographs it could not stylise, before it is trained for them (UserError)."""

    def extra_state(self) -> dict[str, Any]:
        """What the next step depends on besides networks and optimisers: tensors, numbers, lists.

        Most systems have none; an image pool is one.
        """
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what ``extra_state`` gave."""

    @abstractmethod
    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Losses of one training step, optimiser by optimiser.

        The engine minimises ``total`` with the named optimiser before it asks for the next pair,
        so that an adversarial system yields ``discriminator`` and ``generator`` in turn. What
        stands after a ``yield`` is done after the update.
        """

    @abstractmethod
    def generate(self, content: Tensor, style: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, 3, H, W), not yet clamped; sides fit ``multiple``."""

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimiser by name; Adam over all networks unless a system says otherwise."""
        weights = self.networks.parameters()
        return {"main": Adam(weights, lr=self.settings.lr, fused=True)}

    def lr_factor(self, step: int) -> float:  # noqa: ARG002 - a schedule depends on it
        """What the learning rates are multiplied with at ``step`` (from 0)."""
        return 1.0

    def plan(self) -> BatchPlan:
        """How the batches are cut; as many styles as contents unless a system says otherwise."""
        s = self.settings
        return BatchPlan(
            batch=s.batch,
            style_batch=s.batch,
            crop=s.crop,
            style_crop=s.crop,
            load_size=s.load_size,
            smallest_side=s.smallest_side,
            flip=s.flip,
        )

    def training_styles(self, paintings: Sequence[Path]) -> Sequence[Path]:
        """The paintings to train with; all unless a system says otherwise."""
        return paintings

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        """One iterate: the networks applied once."""
        style = style.to(self.device)
        yield Iterate(1, 1, self.apply_network(content, lambda image: self.generate(image, style)))

    def apply_network(self, image: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """``network`` on (B, 3, H, W) of any size, without gradients; result in [0, 1]."""
        with self.inference_mode():
            made = fitted(network, image.to(self.device), self.multiple)
        return made.float().clamp(0, 1)

    def inference_mode(self) -> AbstractContextManager[None]:
        """Evaluation mode without gradients, the former mode afterwards."""
        return _InferenceMode(self.networks)

    def card(self) -> dict[str, Any]:
        """Kind and number of trained parameters, plus the features when there are any."""
        count = sum(p.numel() for p in self.networks.parameters())
        named = {} if self.features is None else _named("features", self.features)
        return {"kind": self.kind, "parameters_trained": count, **named}

    def training_card(self) -> dict[str, Any]:
        """``card`` and the network of the losses, which is loaded for its hash."""
        judge = self.loss_features
        if judge is None or judge is self.features:
            return self.card()
        network = judge.network if isinstance(judge, LossFeatures) else judge
        return {**self.card(), **_named("loss_features", network)}

    @property
    def batch(self) -> int:
        """Pictures per ``stylize``."""
        return self.settings.stylize_batch


def _named(setting: str, features: Features) -> dict[str, str]:
    return {setting: features.name, f"{setting}_hash": features.hash}


SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Steps of the strips; those of Ghiasi et al. 2017, the reports' too."""


class _InferenceMode:
    """See ``Trained.inference_mode``."""

    def __init__(self, networks: nn.ModuleDict) -> None:
        self.networks, self.before = networks, networks.training
        self.no_grad = torch.no_grad()

    def __enter__(self) -> None:
        self.networks.eval()
        self.no_grad.__enter__()

    def __exit__(self, *raised: object) -> None:
        self.no_grad.__exit__(*raised)
        self.networks.train(self.before)


class ArbitrarySettings(TrainSettings):
    """Settings of every system that takes any painting."""

    strength: ApplySetting[float] = Field(1.0, ge=0, le=1)
    """1: the style as trained; 0: the content, as far as the system can reproduce it."""
    preserve_colour: ApplySetting[bool] = False
    """Give the painting the photograph's colours first (CORAL)."""


A = TypeVar("A", bound=ArbitrarySettings)


class Arbitrary(Trained[A]):
    """A system applied with any painting, or a mixture of several."""

    kind: ClassVar[Kind] = "arbitrary"

    @abstractmethod
    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """Stylise with a mixture.

        Args:
            content: (B, 3, H, W) in [0, 1]; sides fit ``multiple``.
            styles: N times (B, 3, h, w) in [0, 1], each of any size.
            weights: N, not negative, of sum 1.
            strength: from 0 (content) to 1.

        Returns:
            (B, 3, H, W), not yet clamped.
        """

    def generate(self, content: Tensor, style: Tensor) -> Tensor:
        """``blend`` of the one style, at the strength the settings say."""
        if self.settings.preserve_colour:
            style = recolour(style, content)
        return self.blend(content, [style], [1.0], self.settings.strength)

    def interpolate(
        self, content: Tensor, styles: Sequence[Tensor], weights: Sequence[float], strength: float
    ) -> Tensor:
        """``blend`` for a content of any size, result in [0, 1]."""
        styles = [style.to(self.device) for style in styles]
        return self.apply_network(content, lambda c: self.blend(c, styles, weights, strength))

    def extras(self, names: Sequence[str], content: Tensor, style: Tensor) -> Iterator[Extra]:
        """From the content to the style (``strength``), and from one style to another."""
        for n, name in enumerate(names):
            picture, own = content[n : n + 1], style[n : n + 1]
            after = (n + 1) % len(names)
            both = [own, style[after : after + 1]]
            for share in SHARES:
                image = self.interpolate(picture, [own], [1.0], share)
                yield Extra("strength", name, f"{share:.1f}", image[0])
                image = self.interpolate(picture, both, [1 - share, share], 1.0)
                yield Extra("mixture", name, f"{share:.1f}", image[0])


def restore(method: Method[Any], model: Path) -> None:
    """Give a trained method the weights below ``model``; the others need none.

    Raises:
        UserError: missing, broken, of other settings, or not those that the card names.
    """
    if not isinstance(method, Trained):
        return
    named, found = read_record(model / CARD).get(records.WEIGHTS), weights_digest(model)
    if named and found and named != found:
        reason = "is not what was trained: its digest is not the one on the card"
        raise UserError(f"{model / WEIGHTS}: {reason}; {again(model / WEIGHTS)}")
    load_weights(method.inference_networks, model / WEIGHTS)


def weights_digest(model: Path) -> str | None:
    """SHA-256 of the trained weights below ``model``; None when there are none."""
    path = model / WEIGHTS
    return zoo_files.sha256(path) if path.is_file() else None
