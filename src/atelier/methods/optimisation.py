"""What the systems share that optimise the pixels of each picture; nothing is trained."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field
from torch import Tensor

from atelier.core.config import Settings
from atelier.methods.base import Kind, Method
from atelier.nn.laplacian_pyramid import fill_batch
from atelier.nn.pretrained.features import Features


class OptimisationSettings(Settings):
    """Settings of every system that optimises pixels."""

    features: str
    """The perceptual network of the objective."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the perceptual network; the picture and the losses stay in float32."""
    batch: int = Field(8, ge=1)
    """Pictures optimised at once."""
    fill_batch: bool = True
    """Repeat the last picture until the batch is full. Convolutions round differently for another
    number of pictures, and the optimisation amplifies it: up to 0.4 grey levels of 1 in single
    pixels. At one batch size a picture's result is the same bit for bit whatever its neighbours."""


O = TypeVar("O", bound=OptimisationSettings)  # noqa: E741


class Optimisation(Method[O]):
    """A system whose result is optimised picture by picture, by one perceptual network."""

    kind: ClassVar[Kind] = "optimisation"

    def __init__(self, settings: O, features: Features, seed: int, device: str) -> None:
        self.settings, self.features, self.seed, self.device = settings, features, seed, device

    @property
    def batch(self) -> int:
        """Return how many pictures are optimised at once."""
        return self.settings.batch

    def card(self) -> dict[str, Any]:
        """Return the kind, the perceptual network and its hash."""
        named = {"features": self.features.name, "features_hash": self.features.hash}
        return {"kind": self.kind, **named}

    def prepare(self, images: Tensor) -> Tensor:
        """Move (B, …) to the device and fill the batch, see ``OptimisationSettings.fill_batch``."""
        images = images.to(self.device)
        return fill_batch(images, self.batch) if self.settings.fill_batch else images
