"""Reference set: vectors and styles of the paintings, shared by all methods; the noise floor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from atelier.core.checkpoints import save_tensors
from atelier.core.config import UserError
from atelier.core.files import how_to_restore
from atelier.metrics.catalogue import METRICS, NETWORKS
from atelier.metrics.embeddings import load_stacks
from atelier.metrics.evaluator import Evaluator, Reference, distances
from atelier.metrics.perceptual import activations, perceived

SPLITS = 10
PAINTINGS, DIGEST = "paintings", "sha256"
"""Keys of the file's metadata: the paintings' names, and a digest of its numbers."""
NAMES = (*NETWORKS["features"], *NETWORKS["perceptual"])
"""Entries that the vectors depend on."""


def look_at(evaluator: Evaluator, paintings: Sequence[Path]) -> Reference:
    """Compute the reference that methods are compared with."""
    network, device = evaluator.networks.perceptual, evaluator.networks.device
    vectors, styles = [], []
    for stack in load_stacks(paintings, device=device, batch=evaluator.batch, what="paintings"):
        vectors.append(evaluator.embed(stack).cpu())
        styles.append(perceived(network, activations(network, stack)).style.cpu())
    names = [path.name for path in paintings]
    return Reference(torch.cat(vectors), dict(zip(names, torch.cat(styles), strict=True)))


def noise_floor(evaluator: Evaluator, vectors: Tensor, seed: int = 0) -> dict[str, Any]:
    """Return scores of one half of the paintings against the other, means over ``SPLITS`` splits.

    What remains between samples of one distribution is sampling noise: no system can be expected to
    score below it. The halves are smaller than the sets that methods are scored with; at equal n
    the floor would be lower. With fewer than four paintings there is only a ``reason``.
    """
    if len(vectors) < 4:
        return {"reason": f"needs 4 paintings, there are {len(vectors)}"}
    generator, half = torch.Generator().manual_seed(seed), len(vectors) // 2
    orders = [torch.randperm(len(vectors), generator=generator) for _ in range(SPLITS)]
    found = [distances(vectors[o[:half]], vectors[o[half : 2 * half]]) for o in orders]
    keys = [metric.key for metric in METRICS if metric.heading and metric.key in found[0]]
    values = {key: torch.tensor([one[key] for one in found]) for key in keys}
    spread = {f"{key}_sd": value.std().item() for key, value in values.items()}
    means = {key: value.mean().item() for key, value in values.items()}
    return {**found[0], **means, **spread, **evaluator.names()}


def save_reference(reference: Reference, evaluator: Evaluator, path: Path) -> None:
    """Write the paintings' vectors and the networks they are from, atomically."""
    vectors, styles = reference.vectors.contiguous(), torch.stack(list(reference.styles.values()))
    names = json.dumps(list(reference.styles))
    known = {**_signature(evaluator), PAINTINGS: names, DIGEST: _digest(names, vectors, styles)}
    save_tensors({"vectors": vectors, "styles": styles}, path, known)


def load_reference(evaluator: Evaluator, path: Path) -> Reference:
    """Read what ``save_reference`` wrote.

    Raises:
        UserError: missing, broken, or computed with other networks than ``evaluator``'s.
    """
    try:
        with safe_open(path, "pt") as file:
            vectors, styles = file.get_tensor("vectors"), file.get_tensor("styles")
            made_with = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read ({reason}); {how_to_restore(path)}") from None
    names = made_with.pop(PAINTINGS, "[]")
    if made_with.pop(DIGEST, None) != _digest(names, vectors, styles):
        raise UserError(f"{path}: has changed since it was written; {how_to_restore(path)}")
    if made_with != _signature(evaluator):
        raise UserError(
            f"{path}: was made with {made_with}, the pictures are measured with "
            f"{_signature(evaluator)}; run dvc repro reference on this machine"
        )
    return Reference(vectors, dict(zip(json.loads(names), styles, strict=True)))


def _signature(evaluator: Evaluator) -> dict[str, str]:
    return {name: evaluator.names()[name] for name in NAMES}


def _digest(names: str, *tensors: Tensor) -> str:
    found = hashlib.sha256(names.encode())
    for tensor in tensors:
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()
