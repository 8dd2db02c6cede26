"""Records of what varies from run to run (time, memory, device, run ids), kept beside the results.

DVC hashes results. With these figures in the same files, equal results would have different hashes
on every machine, so they go to ``results/records/<method>.json``, which DVC does not track. Each
part names the digest of its result: when DVC restores a result from its cache, records of another
are ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from atelier.core.config import UserError
from atelier.core.files import read_record, write_json
from atelier.core.paths import Results, plain
from atelier.core.purpose import of_today

VARYING = frozenset(
    {
        *("seconds_per_picture", "peak_memory_mib", "device", "run_id", "training_run_id"),
        *("training_seconds", "data_seconds_per_step", "seconds_per_step", "seconds_per_epoch"),
    }
)
"""Entries that may differ for equal results."""
OF = "of"
DENOISED = "denoised"
APPLIED = "parameters"
"""Key of the settings: on a card, of the training; in a record of pictures, of the application."""
PICTURES, WEIGHTS = "pictures_sha256", "weights_sha256"
"""Keys, in records and cards, of the digests of the pictures and of the weights."""


def set_aside(
    root: Path, method: str, part: str, found: Mapping[str, Any], of: str | None
) -> dict[str, Any]:
    """Move the varying entries of ``found`` to the method's records; return the others.

    Args:
        root: the project's folder.
        method: an entry of ``methods``.
        part: ``run``, ``training``, ``stylize`` or ``denoise``.
        found: all entries of a result.
        of: digest of the result, if it has one.
    """
    path = Results(root).records(method)
    varying = {key: value for key, value in found.items() if key in VARYING}
    write_json(path, {**read_record(path), part: {OF: of, **varying}})
    return {key: value for key, value in found.items() if key not in VARYING}


def aside(root: Path, method: str, part: str, of: object) -> dict[str, Any]:
    """Return the entries set aside for the result with the digest ``of``, else {}."""
    found = read_record(Results(root).records(method)).get(part)
    if not isinstance(found, dict) or found.get(OF) != of:
        return {}
    return {key: value for key, value in found.items() if key in VARYING}


def cost(root: Path, method: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return cost, device and run id of a method's pictures, to accompany its scores."""
    training = aside(root, method, "training", scores.get(WEIGHTS))
    made = aside(root, method, "stylize", scores.get(PICTURES))
    kept = {k: v for k, v in training.items() if k == "training_seconds"}
    return {**kept, **made}


def scores(root: Path, row: str) -> dict[str, Any]:
    """Return the scores of a method or a baseline and, as ``denoised``, of the denoised pictures.

    {} without scores; no ``denoised`` where the method's pictures are not denoised.
    """
    results = Results(root)
    found, after = read_record(results.metrics(row)), read_record(results.denoised_metrics(row))
    return {**found, DENOISED: after} if found and len(after) > 1 else found


def digest_of(pictures: Iterable[Path]) -> str:
    """Return the SHA-256 over names and bytes of files, in the order given."""
    total = hashlib.sha256()
    for path in pictures:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def parameters(root: Path, method: str) -> dict[str, Any]:
    """Return the settings that a method's results were made with; {} without results.

    Those of the training are on its card, those of the application beside its pictures.
    """
    trained = record(root, method, "card").get(APPLIED)
    if not isinstance(trained, dict):
        return {}
    applied = read_record(Results(root).stylized(method).record).get(APPLIED)
    return {**of_today(trained), **(applied if isinstance(applied, dict) else {})}


def record(root: Path, method: str, name: str) -> dict[str, Any]:
    """Return ``<name>.json`` of a method's model merged with what was set aside, or {}.

    ``name`` is ``card``, ``training`` or ``run``; of the last, everything is set aside.
    """
    with suppress(UserError):
        model = Results(root).model(method)
        found = read_record(model.folder / f"{plain(name)}.json")
        if not model.card.is_file():
            return found
        of = digest_of([model.card]) if name == "run" else read_record(model.card).get(WEIGHTS)
        return {**aside(root, method, name, of), **found}
    return {}
