"""Reference set: what all methods are compared with, of every painting; the noise floor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atelier.core.config import Params, UserError
from atelier.core.device import pick_device
from atelier.core.files import how_to_restore, read_json
from atelier.core.paths import Results
from atelier.metrics.catalogue import METRICS, NETWORKS
from atelier.metrics.embeddings import load_stacks
from atelier.metrics.evaluator import EvaluateSettings, Evaluator, Reference, distances
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.perceptual import activations, perceived
from atelier.metrics.sifid import texture_sums
from atelier.metrics.tensor_file import load_with_digest, save_with_digest

SPLITS = 10
TENSORS = ("vectors", "styles", "textures")
PAINTINGS = "paintings"
"""Key of the paintings' names in the file's metadata."""
NAMES = (*NETWORKS["features"], *NETWORKS["perceptual"])
"""Entries that the vectors depend on."""


def look_at(evaluator: Evaluator, paintings: Sequence[Path]) -> Reference:
    """Compute the reference that methods are compared with."""
    network, device = evaluator.networks.perceptual, evaluator.networks.device
    vectors, styles, textures = [], [], []
    for stack in load_stacks(paintings, device=device, batch=evaluator.batch, what="paintings"):
        vectors.append(evaluator.embed(stack).cpu())
        styles.append(perceived(network, activations(network, stack)).style.cpu())
        textures.append(texture_sums(activations(network, stack)))
    return _named([path.name for path in paintings], *map(torch.cat, (vectors, styles, textures)))


def _named(names: Sequence[str], vectors: Tensor, styles: Tensor, textures: Tensor) -> Reference:
    by_name = (dict(zip(names, known, strict=True)) for known in (styles, textures))
    return Reference(vectors, *by_name)


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


def score_made(
    params: Params, name: str, made: Path, pairs: Mapping[str, str | int]
) -> dict[str, Any]:
    """Return the record of the pictures in ``made``, of a method of the project.

    Args:
        params: its settings.
        name: an entry of ``methods``.
        made: a folder of ``<photo>.png``.
        pairs: photograph → painting, of all that are scored.
    """
    results = Results()
    settings = EvaluateSettings.build(
        params.scaled("evaluate"), "evaluate", params.places("evaluate")
    )
    evaluator = Evaluator.load(settings, pick_device(params))
    reference = load_reference(evaluator, results.reference)
    path = results.model(name).card
    card = read_json(path)
    if not isinstance(card, dict) or "kind" not in card:
        raise UserError(f"{path}: is not a method's card; {how_to_restore(path)}")
    # An unpaired system does not take a single painting.
    paintings = [] if card["kind"] == "unpaired" else sorted(reference.styles)
    found = made_pairs(made, results.prepared.photos, pairs, paintings)
    return evaluator.score(reference, found)


def save_reference(reference: Reference, evaluator: Evaluator, path: Path) -> None:
    """Write the paintings' vectors and the networks they are from, atomically."""
    styles, textures = (
        torch.stack(list(by_name.values())) for by_name in (reference.styles, reference.textures)
    )
    tensors = dict(zip(TENSORS, (reference.vectors, styles, textures), strict=True))
    names = json.dumps(list(reference.styles))
    save_with_digest(tensors, path, {**_signature(evaluator), PAINTINGS: names})


def load_reference(evaluator: Evaluator, path: Path) -> Reference:
    """Read what ``save_reference`` wrote.

    Raises:
        UserError: missing, broken, or computed with other networks than ``evaluator``'s.
    """
    tensors, made_with = load_with_digest(path, how_to_restore(path))
    names = made_with.pop(PAINTINGS, "[]")
    if made_with != _signature(evaluator):
        raise UserError(
            f"{path}: was made with {made_with}, the pictures are measured with "
            f"{_signature(evaluator)}; run dvc repro reference on this machine"
        )
    return _named(json.loads(names), *(tensors[name] for name in TENSORS))


def _signature(evaluator: Evaluator) -> dict[str, str]:
    return {name: evaluator.names()[name] for name in NAMES}
