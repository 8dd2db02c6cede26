"""Interface of a metric's file: ``MEASURE``, an instance of one of the three classes below.

``OfSets`` compares two sets of feature vectors, ``OfPairs`` each picture with its photograph and
painting, ``OfRecord`` combines other metrics.
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
    """Networks that compare pairs."""

    perceptual: Features
    """Network of content and style distance, see ``perceptual_features``."""
    lpips: Lpips | None
    device: str


@dataclass(frozen=True)
class PairBatch:
    """Pictures of one size with their photographs and the style vectors of their paintings."""

    networks: PerceptualNetworks
    result: Stack
    photo: Stack
    """The same one where photographs are measured against themselves."""
    painting: Tensor | None
    """Style vectors (b, D) of their paintings; None unless every picture has one."""
    paintings: Tensor
    """Style vectors of all paintings, (n, D)."""
    texture: Tensor | None = None
    """``sifid.texture_sums`` of their paintings, (b, K); None as ``painting``."""


@dataclass(frozen=True)
class OfSets:
    """Numbers of two sets of vectors (n, d) and (m, d): the paintings', the pictures'.

    Besides numbers, ``left_out``: values without each group of pictures, see ``jackknife.py``.
    """

    measure: Callable[[Tensor, Tensor], Mapping[str, Any]]
    optional: bool = False
    """Whether it is left out if there are too few pictures (UserError)."""


@dataclass(frozen=True)
class OfPairs:
    """Metric with values (b,) per picture of a batch; none if the batch lacks its inputs."""

    measure: Callable[[PairBatch], Mapping[str, Tensor]]


@dataclass(frozen=True)
class OfRecord:
    """Metric computed from other metrics; none if one of them is missing."""

    measure: Callable[[Mapping[str, Any]], Mapping[str, float]]


Measure = TypeVar("Measure", OfSets, OfPairs, OfRecord)


@cache
def measures(kind: type[Measure]) -> tuple[Measure, ...]:
    """Return all measures of a kind, in the order of the catalogue."""
    found = (import_module(f"{__package__}.{name}").MEASURE for name in catalogue.FILES)
    return tuple(measure for measure in found if isinstance(measure, kind))
