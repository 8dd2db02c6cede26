"""Score a set of stylised pictures against the paintings: one record per method."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from atelier.config import Settings, UserError
from atelier.files import atomic
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.kernel import kernel_distance
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


def score(features: Features, reference: Tensor, generated: Tensor) -> dict[str, Any]:
    """Distances of two sets of vectors, with all that must stand beside the values."""
    return {
        "frechet": frechet_distance(reference, generated),
        **kernel_distance(reference, generated),
        "features": features.name,
        "features_hash": features.hash,
        "layer": features.layers[0],
        "n_reference": len(reference),
        "n_generated": len(generated),
    }


SPLITS = 10


def floor(features: Features, paintings: Tensor, seed: int = 0) -> dict[str, Any]:
    """Scores of one half of the paintings against the other, means over ``SPLITS`` random halves.

    What is left between sets of the same kind is the noise of small numbers: no system can be
    expected below it. The halves are smaller than the sets methods are scored with, so for equal
    numbers it would be lower. With fewer than four paintings there are no halves to compare, only
    a ``reason``.
    """
    if len(paintings) < 4:
        return {"reason": f"needs 4 paintings, there are {len(paintings)}"}
    generator, half = torch.Generator().manual_seed(seed), len(paintings) // 2
    orders = [torch.randperm(len(paintings), generator=generator) for _ in range(SPLITS)]
    found = [score(features, paintings[o[:half]], paintings[o[half : 2 * half]]) for o in orders]
    values = {key: torch.tensor([one[key] for one in found]) for key in ("frechet", "kid")}
    spread = {f"{key}_sd": value.std().item() for key, value in values.items()}
    return {**found[0], **{key: value.mean().item() for key, value in values.items()}, **spread}


def save_reference(vectors: Tensor, features: Features, path: Path) -> None:
    """Write the paintings' vectors (n, d) and what they were made with, atomically."""
    with atomic(path) as part:
        save_file({"vectors": vectors.contiguous()}, part, metadata=_signature(features))


def load_reference(features: Features, path: Path) -> Tensor:
    """The paintings' vectors (n, d).

    Raises:
        UserError: missing, broken, or made with other features than ``features``.
    """
    try:
        with safe_open(path, "pt") as file:
            vectors: Tensor = file.get_tensor("vectors")
            made_with = file.metadata()
    except (OSError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read ({reason}); run dvc repro reference") from None
    if made_with != _signature(features):
        raise UserError(
            f"{path}: was made with {made_with}, the pictures are measured with "
            f"{_signature(features)}; run dvc repro reference on this machine"
        )
    return vectors


def _signature(features: Features) -> dict[str, str]:
    return {"features": features.name, "hash": features.hash, "layer": features.layers[0]}
