"""Evaluation of a set of stylised pictures against the paintings: one record per method."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pydantic import Field
from torch import Tensor

from atelier.core.config import Settings, UserError
from atelier.metrics.catalogue import FIGURES, HELD_OUT
from atelier.metrics.embeddings import Stack
from atelier.metrics.jackknife import means_left_out
from atelier.metrics.lpips import Lpips, load_lpips
from atelier.metrics.measures import OfRecord, OfSets, PerceptualNetworks, measures
from atelier.metrics.pairwise import Pair, set_values
from atelier.metrics.perceptual import activations, perceptual_features
from atelier.nn.pretrained.features import EMBEDDING_LAYER, Features, load_features

log = logging.getLogger(__name__)


class EvaluateSettings(Settings):
    """Settings of the ``evaluate`` step."""

    features: str
    """Network of the Fréchet and the kernel distance."""
    fallback_features: str | None = None
    """Substitute for ``features`` if those are unavailable, named beside every value."""
    layer: str | None = None
    perceptual: str = "mini"
    """Network of the content and the style distance."""
    lpips: str | None = None
    """Network of LPIPS; without its weights, or with null, the column stays empty."""
    batch: int = Field(16, ge=1)


@dataclass(frozen=True)
class Evaluator:
    """All networks of the evaluation, loaded."""

    features: Features
    networks: PerceptualNetworks
    batch: int

    @classmethod
    def load(cls, settings: EvaluateSettings, device: str) -> Self:
        """Load the networks named in the settings.

        Raises:
            UserError: weights are unavailable and have no substitute.
        """
        name, lpips = settings.perceptual, _lpips(settings.lpips, device)
        features = None
        if settings.features == name:
            layer = settings.layer or _embedding_layer(name)
        else:
            features = evaluation_features(settings, device)
            layer = features.embedding
        if name != "random" and (features is None or features.name == name):
            # The same weights twice: one network, whose one pass gives all layers.
            features = perceptual = perceptual_features(name, device, layer)
        else:
            perceptual = perceptual_features(name, device)
            features = features or evaluation_features(settings, device)
        return cls(features, PerceptualNetworks(perceptual, lpips, device), settings.batch)

    def names(self) -> dict[str, str]:
        """Return networks and hashes, to accompany every value."""
        found = {
            "features": self.features.name,
            "features_hash": self.features.hash,
            "layer": self.features.embedding,
            "perceptual": self.networks.perceptual.name,
            "perceptual_hash": self.networks.perceptual.hash,
        }
        lpips = self.networks.lpips
        return found if lpips is None else {**found, "lpips_network": f"{lpips.name} {lpips.hash}"}

    def embed(self, stack: Stack) -> Tensor:
        """Vectors (b, d) for the distances between sets."""
        if self.features is not self.networks.perceptual:
            return self.features.embed(stack.image)
        return self.features.vectors(activations(self.features, stack))

    def score(self, reference: Reference, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Return the record of a method's pictures: set distances, pairwise means, networks."""
        return self.score_sets(reference, [pairs])[0]

    def score_sets(
        self, reference: Reference, sets: Sequence[Sequence[Pair]]
    ) -> list[dict[str, Any]]:
        """Return ``score`` of several sets of the same photographs, in the same order, at once."""
        made = self.measure(reference, sets)
        return [self.record(reference, values, vectors) for values, vectors in made]

    def measure(
        self, reference: Reference, sets: Sequence[Sequence[Pair]]
    ) -> list[tuple[dict[str, Tensor], Tensor]]:
        """Return what is measured of every picture, see ``set_values``."""
        known = reference.every
        return set_values(
            self.networks,
            sets,
            {name: style for part in known for name, style in part.styles.items()},
            self.batch,
            self.embed,
            {name: texture for part in known for name, texture in part.textures.items()},
            list(reference.styles),
        )

    def to(self, device: str) -> Self:
        """Move all networks to a device."""
        known = self.networks
        lpips = known.lpips.to(device) if known.lpips else None
        moved = PerceptualNetworks(known.perceptual.to(device), lpips, device)
        return replace(self, features=self.features.to(device), networks=moved)

    def record(
        self, reference: Reference, of_pairs: Mapping[str, Tensor], vectors: Tensor
    ) -> dict[str, Any]:
        """Return ``score`` of what ``measure`` returns of one set."""
        found = distances(reference.vectors, vectors) | bounds(reference.vectors, vectors)
        found |= {name: values.mean().item() for name, values in of_pairs.items()}
        without = {name: means_left_out(values) for name, values in of_pairs.items()}
        found["left_out"] = found.get("left_out", {}) | without
        for one in measures(OfRecord):
            found |= one.measure(found)
        if reference.held_out:
            found[HELD_OUT] = distances(reference.held_out.vectors, vectors)
        return {**found, **self.names()}


@dataclass(frozen=True)
class Reference:
    """Features, styles and textures of the paintings, computed once for all methods."""

    vectors: Tensor
    """Feature vectors (n, d) for the distances between sets."""
    styles: dict[str, Tensor]
    """File name → style vector (D,), see ``perceptual.style_vector``."""
    textures: dict[str, Tensor] = field(default_factory=dict)
    """File name → sums (K,), see ``sifid.texture_sums``."""
    held_out: Reference | None = None
    """The same of the paintings that no training sees, where there is such a split."""
    others: Reference | None = None
    """The same of paintings by others that the system's pictures were paired with, if any."""

    @property
    def names(self) -> list[str]:
        """File names, sorted; held-out ones follow."""
        return sorted(self.styles) + (sorted(self.held_out.styles) if self.held_out else [])

    @property
    def every(self) -> list[Reference]:
        """All sets that a picture's own painting may be from; of one name, the last one counts."""
        return [part for part in (self.others, self.held_out, self) if part]


def labelled(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a record, named with their network, if any: ``frechet_mini``."""
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, int | float):
            metric = FIGURES.get(name)
            network = str(record.get(metric.network) or "") if metric else ""
            found["_".join([prefix + name, *network.split()[:1]])] = float(value)
    return found


def distances(reference: Tensor, generated: Tensor) -> dict[str, Any]:
    """Return the distances between two sets of vectors, and their sizes."""
    found: dict[str, Any] = {}
    for one in measures(OfSets):
        if not one.optional:
            found |= one.measure(reference, generated)
    return {**found, "n_reference": len(reference), "n_generated": len(generated)}


def bounds(reference: Tensor, generated: Tensor) -> dict[str, Any]:
    """Return how sure the distances are, as far as the numbers of pictures allow to say."""
    found: dict[str, Any] = {}
    for one in measures(OfSets):
        if one.optional:
            with suppress(UserError):  # too few pictures
                found |= one.measure(reference, generated)
    return found


def evaluation_features(settings: EvaluateSettings, device: str) -> Features:
    """Return the features of the settings, or ``fallback_features`` if their weights are missing.

    The substitution is logged here and named beside every value.
    """
    try:
        return _load(settings.features, settings.layer, device)
    except UserError as error:
        if settings.fallback_features is None:
            raise
        log.warning("evaluate: %s\nusing %s instead", error, settings.fallback_features)
        return _load(settings.fallback_features, None, device)


def _embedding_layer(name: str) -> str:
    return EMBEDDING_LAYER.get(name, "relu5_1")


def _load(name: str, layer: str | None, device: str) -> Features:
    # Two families of VGG weights differ by a factor of 100 in scale: 10⁴ in unscaled distances.
    unit = name.startswith("vgg")
    layer = layer or _embedding_layer(name)
    return load_features(name, [layer], unit_activations=unit, device=device)


def _lpips(name: str | None, device: str) -> Lpips | None:
    try:
        return load_lpips(name, device) if name else None
    except UserError as error:
        log.warning("evaluate: %s\nLPIPS is left out", error)
        return None
