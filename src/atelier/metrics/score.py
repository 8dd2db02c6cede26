"""Score a set of stylised pictures against the paintings: one record per method."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from atelier.config import Settings, UserError
from atelier.metrics.embedding import embed_files
from atelier.metrics.frechet import frechet_distance
from atelier.nn.features import EMBEDDING_LAYER, Features, load_features


class EvaluateSettings(Settings):
    """Knobs of the ``evaluate`` step."""

    features: str
    otherwise: str | None = None
    layer: str | None = None
    batch: int = Field(16, ge=1)


def evaluation_features(settings: EvaluateSettings, device: str) -> Features:
    """The features the settings name; ``otherwise`` when their weights cannot be had.

    The substitute is announced here and named beside every value it produces.
    """
    try:
        return _load(settings.features, settings.layer, device)
    except UserError as error:
        if settings.otherwise is None:
            raise
        print(f"evaluate: {error}\nusing {settings.otherwise} instead", file=sys.stderr)
        return _load(settings.otherwise, None, device)


def _load(name: str, layer: str | None, device: str) -> Features:
    # Two families of VGG weights differ by a hundred in scale: 10⁴ in the distance, if left so.
    unit = name.startswith("vgg")
    layer = layer or EMBEDDING_LAYER.get(name, "relu5_1")
    return load_features(name, [layer], unit_activations=unit, device=device)


def score(
    features: Features,
    reference: Sequence[Path],
    generated: Sequence[Path],
    *,
    device: str,
    batch: int,
) -> dict[str, Any]:
    """Fréchet distance of two sets of PNGs, with everything that must stand beside the value."""
    real = embed_files(features, reference, device=device, batch=batch)
    made = embed_files(features, generated, device=device, batch=batch)
    return {
        "frechet": frechet_distance(real, made),
        "features": features.name,
        "features_hash": features.hash,
        "layer": features.layers[0],
        "n_reference": len(real),
        "n_generated": len(made),
    }
