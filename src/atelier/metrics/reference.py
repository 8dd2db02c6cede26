"""Reference set: what all methods are compared with, of every painting; the noise floor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atelier.core import images
from atelier.core.config import Params, UserError
from atelier.core.device import pick_device
from atelier.core.files import how_to_restore, read_json
from atelier.core.paths import Results
from atelier.core.resume import drop
from atelier.core.workers import workers_of
from atelier.metrics.catalogue import HELD_OUT, METRICS, NETWORKS, UNSEEN
from atelier.metrics.elsewhere import Elsewhere, shards_folder
from atelier.metrics.embeddings import load_stacks
from atelier.metrics.evaluator import EvaluateSettings, Evaluator, Reference, distances
from atelier.metrics.pairwise import made_pairs, painting_named
from atelier.metrics.perceptual import activations, perceived
from atelier.metrics.sifid import texture_sums
from atelier.metrics.tensor_file import load_with_digest, save_with_digest

SPLITS = 10
TENSORS = ("vectors", "styles", "textures")
"""Names of the file's tensors; those of the held-out paintings have a prefix."""
PAINTINGS = "paintings"
"""Key of the paintings' names in the file's metadata."""
NAMES = (*NETWORKS["features"], *NETWORKS["perceptual"])
"""Entries that the vectors depend on."""


def look_at(
    evaluator: Evaluator, paintings: Sequence[Path], held_out: Sequence[Path] = ()
) -> Reference:
    """Compute the reference that methods are compared with."""
    if held_out:
        return replace(look_at(evaluator, paintings), held_out=look_at(evaluator, held_out))
    network, device = evaluator.networks.perceptual, evaluator.networks.device
    vectors, styles, textures = [], [], []
    for stack in load_stacks(paintings, device=device, batch=evaluator.batch, what="paintings"):
        vectors.append(evaluator.embed(stack).cpu())
        styles.append(perceived(network, activations(network, stack)).style.cpu())
        textures.append(texture_sums(activations(network, stack)))
    return _named([path.name for path in paintings], *map(torch.cat, (vectors, styles, textures)))


def _named(names: Sequence[str], vectors: Tensor, styles: Tensor, textures: Tensor) -> Reference:
    by_name = [dict(zip(names, known, strict=True)) for known in (styles, textures)]
    return Reference(vectors, styles=by_name[0], textures=by_name[1])


def noise_floor(
    evaluator: Evaluator, vectors: Tensor, seed: int = 0, held_out: Tensor | None = None
) -> dict[str, Any]:
    """Return scores of one half of the paintings against the other, means over ``SPLITS`` splits.

    What remains between samples of one distribution is sampling noise: no system can be expected to
    score below it. The halves are smaller than the sets that methods are scored with; at equal n
    the floor would be lower. With fewer than four paintings there is only a ``reason``.

    ``held_out``, vectors of paintings outside the set: the same halves against those, too.
    """
    if len(vectors) < 4:
        return {"reason": f"needs 4 paintings, there are {len(vectors)}"}
    generator, half = torch.Generator().manual_seed(seed), len(vectors) // 2
    orders = [torch.randperm(len(vectors), generator=generator) for _ in range(SPLITS)]
    found = _means([distances(vectors[o[:half]], vectors[o[half : 2 * half]]) for o in orders])
    if held_out is not None:
        found[HELD_OUT] = _means([distances(held_out, vectors[o[:half]]) for o in orders])
    return {**found, **evaluator.names()}


def _means(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means and standard deviations of the distances that tables show; the rest, of one."""
    keys = [metric.key for metric in METRICS if metric.heading and metric.key in found[0]]
    values = {key: torch.tensor([one[key] for one in found]) for key in keys}
    spread = {f"{key}_sd": value.std().item() for key, value in values.items()}
    means = {key: value.mean().item() for key, value in values.items()}
    return {**found[0], **means, **spread}


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
    with workers_of(params) as workers:
        evaluator = Evaluator.load(settings, "cpu" if workers else pick_device(params))
        reference = load_reference(evaluator, results.reference)
        # An unpaired system does not take a single painting.
        if _kind(results.model(name).card) == "unpaired":
            paintings: list[str] = []
        else:
            reference, paintings = with_others(evaluator, reference, results.prepared.styles, pairs)
        found = made_pairs(made, results.prepared.photos, pairs, paintings)
        if not workers:
            return evaluator.score(reference, found)
        kept = shards_folder("-".join(made.parts[-3:-1]), evaluator, found, results.reference)
        measured = Elsewhere(workers, params, evaluator, reference).measure(found, kept)
    scores = evaluator.record(reference, *measured)
    drop(kept)
    return scores


def with_others(
    evaluator: Evaluator, reference: Reference, folder: Path, pairs: Mapping[str, str | int]
) -> tuple[Reference, list[str]]:
    """Return the reference with those paintings by others that pictures were paired with.

    They are no part of the reference set: only each picture's distance to its own painting needs
    them.

    Args:
        evaluator: looks at them.
        reference: the artist's paintings.
        folder: the paintings by others; may be missing.
        pairs: photograph → painting, by name or index.

    Returns:
        The reference, and all file names in the order that an index counts in: that of a training.
    """
    others = images.find(folder)
    names = [*sorted(reference.styles), *(path.name for path in others)]
    wanted = {painting_named(style, names) for style in pairs.values()} - set(reference.styles)
    if found := [path for path in others if path.name in wanted]:
        reference = replace(reference, others=look_at(evaluator, found))
    return reference, [*names, *reference.names[len(reference.styles) :]]


def _kind(path: Path) -> str:
    """Return a method's kind, of its card."""
    card = read_json(path)
    if not isinstance(card, dict) or "kind" not in card:
        raise UserError(f"{path}: is not a method's card; {how_to_restore(path)}")
    return str(card["kind"])


def save_reference(reference: Reference, evaluator: Evaluator, path: Path) -> None:
    """Write the paintings' vectors and the networks they are from, atomically."""
    parts = {"": reference} | ({UNSEEN: reference.held_out} if reference.held_out else {})
    tensors = {
        prefix + key: tensor
        for prefix, part in parts.items()
        for key, tensor in zip(TENSORS, _tensors(part), strict=True)
    }
    names = {PAINTINGS: _names(reference)}
    if reference.held_out:
        names[HELD_OUT] = _names(reference.held_out)
    save_with_digest(tensors, path, {**_signature(evaluator), **names})


def _names(reference: Reference) -> str:
    return json.dumps(list(reference.styles))


def _tensors(reference: Reference) -> tuple[Tensor, ...]:
    """Return what ``TENSORS`` names."""
    stacked = (torch.stack(list(k.values())) for k in (reference.styles, reference.textures))
    return reference.vectors, *stacked


def load_reference(evaluator: Evaluator, path: Path) -> Reference:
    """Read what ``save_reference`` wrote.

    Raises:
        UserError: missing, broken, or computed with other networks than ``evaluator``'s.
    """
    tensors, made_with = load_with_digest(path, how_to_restore(path))
    names = {"": made_with.pop(PAINTINGS, "[]")}
    if HELD_OUT in made_with:
        names[UNSEEN] = made_with.pop(HELD_OUT)
    if made_with != _signature(evaluator):
        raise UserError(
            f"{path}: was made with {made_with}, the pictures are measured with "
            f"{_signature(evaluator)}; run dvc repro reference on this machine"
        )
    first, *others = (
        _named(json.loads(known), *(tensors[prefix + name] for name in TENSORS))
        for prefix, known in names.items()
    )
    return replace(first, held_out=others[0]) if others else first


def _signature(evaluator: Evaluator) -> dict[str, str]:
    return {name: evaluator.names()[name] for name in NAMES}
