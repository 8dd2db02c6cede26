"""What varies from run to run: seconds, memory, device, run ids; beside the results, not in them.

DVC hashes results. Equal pictures would have other hashes on every machine if these figures stood
in the same files, so ``results/records/<method>.json`` holds them, which DVC does not track. Each
part names the digest of the result it is of: beside results restored from the cache, records of
other ones count for nothing.
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
"""Entries that differ although the result is the same."""
OF = "of"
APPLIED = "parameters"
"""The settings: on a card, those of the training; in a record of pictures, those of applying."""
PICTURES, WEIGHTS = "pictures_sha256", "weights_sha256"
"""What records and cards of results call the digest of their pictures and of their weights."""


def set_aside(
    root: Path, method: str, part: str, found: Mapping[str, Any], of: str | None
) -> dict[str, Any]:
    """Move what varies in ``found`` to the method's records; return the rest.

    Args:
        root: the project's folder.
        method: an entry of ``methods``.
        part: ``run``, ``training``, ``stylize`` or ``denoise``.
        found: what is known of a result.
        of: digest of the result, if it has one.
    """
    path = Results(root).records(method)
    varying = {key: value for key, value in found.items() if key in VARYING}
    write_json(path, {**read_record(path), part: {OF: of, **varying}})
    return {key: value for key, value in found.items() if key not in VARYING}


def aside(root: Path, method: str, part: str, of: object) -> dict[str, Any]:
    """Return what was set aside for the result with the digest ``of``; {} if it was for another."""
    found = read_record(Results(root).records(method)).get(part)
    if not isinstance(found, dict) or found.get(OF) != of:
        return {}
    return {key: value for key, value in found.items() if key in VARYING}


def cost(root: Path, method: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs beside the scores of a method: cost, device, and run of the pictures."""
    training = aside(root, method, "training", scores.get(WEIGHTS))
    made = aside(root, method, "stylize", scores.get(PICTURES))
    kept = {k: v for k, v in training.items() if k == "training_seconds"}
    return {**kept, **made}


def digest_of(pictures: Iterable[Path]) -> str:
    """Return the SHA-256 over names and bytes of files, in the order given."""
    total = hashlib.sha256()
    for path in pictures:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def parameters(root: Path, method: str) -> dict[str, Any]:
    """Return the settings that a method's results were made with; {} without results.

    Those it was trained with stand on its card, those it was applied with beside its pictures.
    """
    trained = record(root, method, "card").get(APPLIED)
    if not isinstance(trained, dict):
        return {}
    applied = read_record(Results(root).stylized(method).record).get(APPLIED)
    return {**of_today(trained), **(applied if isinstance(applied, dict) else {})}


def record(root: Path, method: str, name: str) -> dict[str, Any]:
    """Return ``<name>.json`` of a method's model and what was set aside; {} without either.

    ``name`` is ``card``, ``training`` or ``run``; the last is all set aside.
    """
    with suppress(UserError):
        model = Results(root).model(method)
        found = read_record(model.folder / f"{plain(name)}.json")
        if not model.card.is_file():
            return found
        of = digest_of([model.card]) if name == "run" else read_record(model.card).get(WEIGHTS)
        return {**aside(root, method, name, of), **found}
    return {}
