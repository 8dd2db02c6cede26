"""The contract of systems that optimise the picture itself: full batches, steps, one network.

Nothing is trained. A batch is optimised at once, yet no picture's result depends on its neighbours.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

from pydantic import Field
from torch import Tensor

from atelier.core.config import Settings
from atelier.core.precision import lowered, noted
from atelier.core.purpose import RunSetting
from atelier.core.structure import Precision
from atelier.methods.base import Iterate, Kind, Method
from atelier.nn.picture_batches import SMALLEST, fill_batch, refuse_small
from atelier.nn.pretrained.features import Features

Steps = Iterator[tuple[Tensor, dict[str, Tensor]]]
"""After each step the pictures (B, 3, H, W) in [0, 1], and the losses before it, (B,) each."""


class OptimisationSettings(Settings):
    """Settings that every such system has; a system overrides defaults that differ."""

    features: str
    precision: Precision = "float32"
    """Of the network's convolutions; losses and pictures stay in float32."""
    batch: int = Field(8, ge=1)
    """Pictures that are optimised at once."""
    fill_batch: bool = True
    """Repeat the last picture until the batch is full. Convolutions round differently for another
    number of pictures, and the optimisation amplifies it: up to 0.4 grey levels of 1 in single
    pixels. At one batch size a picture's result is the same bit for bit whatever its neighbours."""
    snapshots: RunSetting[int] = Field(5, ge=0)
    """Number of iterates of a few test photographs that are kept, evenly spread over the steps, the
    result included; each has the size at which its step works."""


P = TypeVar("P", bound=OptimisationSettings)


class Optimisation(Method[P]):
    """A system that optimises pictures.

    A subclass loads ``features`` in its ``build``, and implements ``optimise`` and ``steps``.
    """

    kind: ClassVar[Kind] = "optimisation"

    def __init__(self, settings: P, features: Features, seed: int, device: str) -> None:
        self.settings, self.features, self.seed, self.device = settings, features, seed, device

    @property
    def batch(self) -> int:
        """Return how many pictures are optimised at once."""
        return self.settings.batch

    def card(self) -> dict[str, Any]:
        """Return kind, features and their hash."""
        named = {"features": self.features.name, "features_hash": self.features.hash}
        lower = noted("precision", self.settings.precision, self.device)
        return {"kind": self.kind, **named, **lower}

    @abstractmethod
    def optimise(self, content: Tensor, style: Tensor) -> Steps:
        """Yield every step for a batch that ``prepare`` has filled; smallest size first."""

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        """Yield every step of the optimisation, smallest size first."""
        yield from self.run(self.optimise, content, style)

    def run(
        self, optimise: Callable[[Tensor, Tensor], Steps], content: Tensor, style: Tensor
    ) -> Iterator[Iterate]:
        """Yield the steps of ``optimise`` on the filled batch, of the pictures given alone.

        Raises:
            UserError: a side below 32 px.
        """
        refuse_small(self.__module__.rpartition(".")[2], SMALLEST, content, style)
        count, total = len(content), self.steps(int(content.shape[2]), int(content.shape[3]))
        steps = optimise(self.prepare(content), self.prepare(style))
        for step, (image, losses) in enumerate(steps, start=1):
            ours = {name: loss[:count] for name, loss in losses.items()}
            yield Iterate(step, total, image[:count], ours)

    def prepare(self, images: Tensor) -> Tensor:
        """Return (B, …) on the device, filled up to a batch unless that is switched off."""
        images = images.to(self.device)
        return fill_batch(images, self.batch) if self.settings.fill_batch else images


def activations(features: Features, image: Tensor, precision: Precision) -> dict[str, Tensor]:
    """Return the layers of (B, 3, H, W) in [0, 1] by name, computed in ``precision``."""
    with lowered(precision, str(image.device)):
        layers: dict[str, Tensor] = features(image)
    return layers
