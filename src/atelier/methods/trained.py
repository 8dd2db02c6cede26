"""The interface of trained systems: their networks, their losses and how they are applied.

``engine/loop.py`` runs the training and uses nothing of a method beyond this interface.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from atelier.core import records, zoo_files
from atelier.core.batches import Batch, BatchPlan
from atelier.core.checkpoints import load_weights
from atelier.core.config import UserError
from atelier.core.files import how_to_restore, read_record
from atelier.core.paths import CARD, WEIGHTS
from atelier.core.precision import lowered, noted
from atelier.core.purpose import ApplySetting
from atelier.methods.base import Extra, Iterate, Kind, Method
from atelier.methods.train_settings import TrainSettings
from atelier.nn.colour_transfer import recolour
from atelier.nn.memory import layout
from atelier.nn.padding import fitted
from atelier.nn.pretrained.features import Features, LossFeatures

Losses = dict[str, Tensor]
"""``total`` is minimised; the other entries (scalars) are only logged."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make random draws inside depend on ``seed`` alone; then restore the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


T = TypeVar("T", bound=TrainSettings)
N = TypeVar("N", bound=nn.Module)


class Trained(Method[T]):
    """A system with networks to train.

    A subclass sets ``settings``, ``networks`` (trained, saved and averaged), ``device`` and
    ``seed`` in its ``build``, and implements ``training_losses`` and ``generate``.
    """

    networks: nn.ModuleDict
    device: str
    seed: int
    features: Features | None = None
    """Frozen encoder used whenever the system is applied, if any."""
    loss_features: Features | LossFeatures | None = None
    """Frozen loss network of the training, if any; may be ``features``."""
    multiple: ClassVar[int] = 1
    """``generate`` needs sides that are multiples of this; others are padded and cropped."""

    @property
    def inference_networks(self) -> nn.ModuleDict:
        """Part of ``networks`` that ``generate`` needs: the final weights, averaged by ``ema``."""
        return self.networks

    def network(self, kind: type[N], *path: str) -> N:  # noqa: ARG002 - its type is used
        """Return the network at ``path`` in ``networks``, typed as ``kind``."""
        return cast("N", self.networks.get_submodule(".".join(path)))

    def check(self, height: int, width: int) -> None:
        """Raise a UserError before training for photographs it could not stylise."""

    def extra_state(self) -> dict[str, Any]:
        """Return further state that the next step depends on: tensors, numbers, lists.

        Most systems have none; an image pool is an example.
        """
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``extra_state`` returned."""

    @abstractmethod
    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield (optimiser's name, losses) of one training step.

        The engine minimises ``total`` with the named optimiser before it requests the next pair, so
        that an adversarial system yields ``discriminator`` and ``generator`` in turn. Code after a
        ``yield`` runs after the update.
        """

    @abstractmethod
    def generate(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise (B, 3, H, W) in [0, 1], sides multiples of ``multiple``; not yet clamped."""

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return the optimisers by name; by default one Adam for all networks."""
        weights = self.networks.parameters()
        return {"main": Adam(weights, lr=self.settings.lr, fused=True)}

    def lr_factor(self, step: int) -> float:  # noqa: ARG002 - for schedules
        """Return the factor of the learning rates at ``step`` (from 0)."""
        return 1.0

    def plan(self) -> BatchPlan:
        """Return the plan of the batches; by default as many styles as contents."""
        s = self.settings
        return BatchPlan(
            batch=s.batch,
            style_batch=s.batch,
            crop=s.crop,
            style_crop=s.crop,
            load_size=s.load_size,
            smallest_side=s.smallest_side,
            flip=s.flip,
            enlarge=s.enlarge,
        )

    def training_styles(self, paintings: Sequence[Path]) -> Sequence[Path]:
        """Return the paintings to train with; by default all."""
        return paintings

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        """Yield one iterate: the networks applied once."""
        style = style.to(self.device)
        yield Iterate(1, 1, self.apply_network(content, lambda image: self.generate(image, style)))

    def apply_network(self, image: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply ``network`` to (B, 3, H, W) of any size, without gradients; result in [0, 1]."""
        with self.inference_mode(), lowered(self.settings.apply_precision, self.device):
            placed = image.to(self.device, memory_format=layout(self.device))
            made = fitted(network, placed, self.multiple)
        return made.float().clamp(0, 1)

    def inference_mode(self) -> AbstractContextManager[None]:
        """Return a context of evaluation mode without gradients; it restores the former mode."""
        return _InferenceMode(self.networks)

    def card(self) -> dict[str, Any]:
        """Return kind, number of trained parameters and, if any, the features."""
        count = sum(p.numel() for p in self.networks.parameters())
        named = {} if self.features is None else _named("features", self.features)
        applied = noted("apply_precision", self.settings.apply_precision, self.device)
        return {"kind": self.kind, "parameters_trained": count, **named, **applied}

    def training_card(self) -> dict[str, Any]:
        """Return ``card``, the precision and the loss network, which is loaded for its hash."""
        card = {**self.card(), **noted("precision", self.settings.precision, self.device)}
        judge = self.loss_features
        if judge is None or judge is self.features:
            return card
        network = judge.network if isinstance(judge, LossFeatures) else judge
        return {**card, **_named("loss_features", network)}

    @property
    def batch(self) -> int:
        """Number of pictures per ``stylize``."""
        return self.settings.stylize_batch


def _named(setting: str, features: Features) -> dict[str, str]:
    return {setting: features.name, f"{setting}_hash": features.hash}


SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Strengths and mixing weights of the strips, as in Ghiasi et al. 2017 and the reports."""


class _InferenceMode:
    """Context of ``Trained.inference_mode``."""

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
    """Settings of every system for arbitrary paintings."""

    strength: ApplySetting[float] = Field(1.0, ge=0, le=1)
    """Strength of the style. 1: as trained; 0: the content, as far as the system can reproduce
    it."""
    preserve_colour: ApplySetting[bool] = False
    """Give the painting the photograph's colours first (by CORAL)."""


A = TypeVar("A", bound=ArbitrarySettings)


class Arbitrary(Trained[A]):
    """A system for arbitrary paintings, and mixtures of several."""

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
            styles: N tensors (B, 3, h, w) in [0, 1], each of any size.
            weights: N numbers, not negative, with sum 1.
            strength: from 0 (content) to 1.

        Returns:
            (B, 3, H, W), not yet clamped.
        """

    def generate(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise by ``blend`` with one style, at the strength of the settings."""
        if self.settings.preserve_colour:
            style = recolour(style, content)
        return self.blend(content, [style], [1.0], self.settings.strength)

    def interpolate(
        self, content: Tensor, styles: Sequence[Tensor], weights: Sequence[float], strength: float
    ) -> Tensor:
        """Stylise a content of any size by ``blend``; result in [0, 1]."""
        styles = [style.to(self.device) for style in styles]
        return self.apply_network(content, lambda c: self.blend(c, styles, weights, strength))

    def extras(self, names: Sequence[str], content: Tensor, style: Tensor) -> Iterator[Extra]:
        """Yield strips from content to style (``strength``), and from one style to another."""
        for n, name in enumerate(names):
            after = (n + 1) % len(names)
            both = [style[n : n + 1], style[after : after + 1]]
            yield from self.strips(name, content[n : n + 1], both)

    def strips(self, name: str, content: Tensor, styles: Sequence[Tensor]) -> Iterator[Extra]:
        """Yield the strips of a photograph (1, 3, H, W), of any size, called ``name``.

        ``strength``: from it to the first painting's style; ``mixture``: from the first painting's
        style to the second's, if there are two.
        """
        for share in SHARES:
            image = self.interpolate(content, styles[:1], [1.0], share)
            yield Extra("strength", name, f"{share:.1f}", image[0])
            if len(styles) > 1:
                image = self.interpolate(content, styles[:2], [1 - share, share], 1.0)
                yield Extra("mixture", name, f"{share:.1f}", image[0])


def restore(method: Method[Any], model: Path) -> None:
    """Load the weights below ``model`` into a trained method; others need none.

    Raises:
        UserError: missing, broken, of other settings, or not those named on the card.
    """
    if not isinstance(method, Trained):
        return
    card, found = read_record(model / CARD), weights_digest(model)
    # an entry of the zoo was rounded to float16: its own digest, not that of its training
    named = card.get("sha256") or card.get(records.WEIGHTS)
    if named and found and named != found:
        reason = "is not what was trained: its digest is not the one on the card"
        raise UserError(f"{model / WEIGHTS}: {reason}; {how_to_restore(model / WEIGHTS)}")
    load_weights(method.inference_networks, model / WEIGHTS)


def weights_digest(model: Path) -> str | None:
    """Return the SHA-256 of the trained weights below ``model``, or None."""
    path = model / WEIGHTS
    return zoo_files.sha256(path) if path.is_file() else None
