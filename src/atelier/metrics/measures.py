"""What a metric's file has to offer: ``MEASURE``, one of the three classes below.

``OfSets`` compares two sets of feature vectors, ``OfPairs`` each picture with its photograph and
painting, ``OfRecord`` computes from what the others found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from atelier.metrics import catalogue
from atelier.metrics.embeddings import Stack
from atelier.nn.pretrained.features import Features

if TYPE_CHECKING:  # a metric itself
    from atelier.metrics.lpips import Lpips


@dataclass(frozen=True)
class PerceptualNetworks:
    """The networks pairs are judged with."""

    perceptual: Features
    """Of ``perceptual_features``."""
    lpips: Lpips | None
    device: str


@dataclass(frozen=True)
class PairBatch:
    """Pictures of one size with what they were made of."""

    networks: PerceptualNetworks
    result: Stack
    photo: Stack
    """The same one where photographs are measured against themselves."""
    painting: Tensor | None
    """Style vectors (b, D) of each one's painting; None unless every picture has one."""
    paintings: Tensor
    """Style vectors of all paintings, (n, D)."""


@dataclass(frozen=True)
class OfSets:
    """Numbers of two sets of vectors (n, d) and (m, d): the paintings', the pictures'."""

    measure: Callable[[Tensor, Tensor], Mapping[str, float]]
    optional: bool = False
    """Whether the numbers are left out where there are too few pictures for them (UserError)."""


@dataclass(frozen=True)
class OfPairs:
    """Values (b,) of every picture of a batch; none where the batch lacks what they need."""

    measure: Callable[[PairBatch], Mapping[str, Tensor]]


@dataclass(frozen=True)
class OfRecord:
    """Numbers of the numbers found so far; none where one is missing."""

    measure: Callable[[Mapping[str, Any]], Mapping[str, float]]


Measure = TypeVar("Measure", OfSets, OfPairs, OfRecord)


@cache
def measures(kind: type[Measure]) -> tuple[Measure, ...]:
    """Return all measures of a kind, in the order of the catalogue."""
    found = (import_module(f"{__package__}.{name}").MEASURE for name in catalogue.FILES)
    return tuple(measure for measure in found if isinstance(measure, kind))
