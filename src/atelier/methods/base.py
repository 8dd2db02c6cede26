"""The interface of all systems; engine, stages, tests and dashboard use nothing else of them."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from torch import Tensor

from atelier.core.config import Settings, UserError
from atelier.core.extends import CLASS, SEED, class_settings
from atelier.core.settings import nearest
from atelier.core.structure import method_files

Kind = Literal["optimisation", "per_style", "arbitrary", "unpaired", "diffusion"]


@dataclass(frozen=True)
class Iterate:
    """State after one step of a stylisation, for progress, curves and pictures."""

    step: int
    total: int
    image: Tensor
    """(B, 3, H, W), the result so far, in [0, 1]."""
    losses: dict[str, Tensor] = field(default_factory=dict)
    """Name → (B,): one value per picture."""


@dataclass(frozen=True)
class Extra:
    """An additional picture: a cell of the sheet called ``title``."""

    title: str
    row: str
    column: str
    image: Tensor
    """(3, H, W) in [0, 1]."""


S = TypeVar("S", bound=Settings)


class Method(ABC, Generic[S]):
    """A configured style-transfer system, generic in its settings."""

    settings: S
    kind: ClassVar[Kind]
    Settings: ClassVar[type[Settings]]
    """Typed view of the method's block in ``params.yaml``."""
    encoders: ClassVar[tuple[str, ...]] = ("features",)
    """Settings that name the perceptual networks needed to apply the method."""

    @classmethod
    @abstractmethod
    def build(cls, settings: S, *, seed: int, device: str) -> Self:
        """Build the system from its validated settings."""

    @classmethod
    def obstacle(cls) -> str:
        """Return what this machine lacks to run the system at all, a sentence; "" if nothing."""
        return ""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Number of pictures ``stylize`` takes at once."""

    @abstractmethod
    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        """Stylise ``content`` (B, 3, H, W) with ``style`` (B, 3, h, w), both in [0, 1].

        The last iterate is the result. A feed-forward system yields one.
        """

    def steps(self, height: int, width: int) -> int:  # noqa: ARG002 - for subclasses
        """Return the number of iterates for pictures of this size."""
        return 1

    def stylize(self, content: Tensor, style: Tensor) -> Tensor:
        """Return the result only: (B, 3, H, W) in [0, 1]."""
        *_, last = self.iterates(content, style)
        return last.image

    def extras(
        self,
        names: Sequence[str],  # noqa: ARG002 - for subclasses with extras
        content: Tensor,  # noqa: ARG002
        style: Tensor,  # noqa: ARG002
    ) -> Iterator[Extra]:
        """Yield more pictures of a few photographs, such as a strip; none by default."""
        yield from ()

    def card(self) -> dict[str, Any]:
        """Return what must accompany every score of the method: features, their hash and so on."""
        return {"kind": self.kind}

    def training_card(self) -> dict[str, Any]:
        """Return ``card`` and what only the training depended on."""
        return self.card()


def method_class(name: str) -> type[Method[Any]]:
    """Return the class in ``atelier/methods/<name>.py``, without importing any other method.

    Raises:
        UserError: no such file, or one that holds no method.
    """
    if name not in method_files():
        raise UserError(
            f"no system named {name!r}: there is no atelier/methods/{name}.py"
            f"{nearest(name, method_files())}"
        )
    found: type[Method[Any]] = importlib.import_module(f"atelier.methods.{name}").METHOD
    return found


def make(
    block: Mapping[str, Any],
    where: str,
    *,
    seed: int,
    device: str,
    places: Mapping[str, str] | None = None,
) -> Method[Any]:
    """Build the method that a block of ``params.yaml`` configures; ``class`` names the file.

    Args:
        block: settings by name, ``class``, and ``seed`` for one of its own.
        where: name of the block for messages, such as ``methods.gatys``.
        seed: seed of initial weights and other random draws, unless the block has one.
        device: ``cpu``, ``cuda``, …
        places: setting → the block it is set in, if that is another; see ``Params.places``.

    Raises:
        UserError: invalid settings, one line each.
    """
    settings, seed = class_settings(block), block.get(SEED, seed)
    cls = system_of(block, f"params.yaml: {where}")
    return cls.build(cls.Settings.build(settings, where, places), seed=seed, device=device)


def system_of(block: Mapping[str, Any], where: str) -> type[Method[Any]]:
    """Return the class that a block of settings configures.

    Raises:
        UserError: the block, called ``where``, names none.
    """
    name = block.get(CLASS)
    if not isinstance(name, str):
        raise UserError(f"{where}: needs `class`, the file in atelier/methods")
    return method_class(name)
