"""Data sets of a run, as MLflow's column *Dataset* names them: splits of the prepared pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.core.files import read_record
from atelier.core.layout import PHOTOGRAPHS, PhotosFrom
from atelier.core.paths import TEST_PAINTINGS

CONTEXTS = {
    "paintings": "style",
    "photos/test": "testing",
    TEST_PAINTINGS: "testing",
}
"""Split → what a run uses it for, beside the photographs to train on."""
DIGITS = 16
"""Of a digest; MLflow takes 36."""


@dataclass(frozen=True)
class DataInput:
    """A split as it was prepared."""

    name: str
    digest: str
    """Of the names, bytes and sizes of its pictures."""
    source: str
    """Folder of the raw pictures, which DVC tracks."""
    context: str
    count: int


def data_inputs(manifest: Path, photos_from: PhotosFrom = "train") -> list[DataInput]:
    """Return the splits that ``prepare`` wrote into the manifest, without empty ones.

    ``photos_from``: the photographs that the run trains on.

    A manifest that cannot be read has none: what only watches stops no run.
    """
    pictures = read_record(manifest).get("pictures")
    listed = (
        [one for one in pictures if isinstance(one, dict)] if isinstance(pictures, list) else []
    )
    contexts = {**dict.fromkeys(PHOTOGRAPHS[photos_from], "training"), **CONTEXTS}
    splits = {split: [one for one in listed if one.get("split") == split] for split in contexts}
    return [_input(split, contexts[split], found) for split, found in splits.items() if found]


def _input(split: str, context: str, pictures: Sequence[Mapping[str, Any]]) -> DataInput:
    facts = sorted([str(p.get("file")), str(p.get("sha256")), str(p.get("size"))] for p in pictures)
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:DIGITS]
    raw = "paintings" if split == TEST_PAINTINGS else split
    return DataInput(split, digest, f"data/{raw}", context, len(pictures))
