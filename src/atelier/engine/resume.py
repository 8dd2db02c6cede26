"""Folders of checkpoints, keyed by everything that the state depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import atelier.methods
import atelier.nn
from atelier.core import batches
from atelier.core.fingerprint import code_digest
from atelier.engine import loop

CODE = (atelier.methods, atelier.nn, batches, loop)
"""Code that results depend on."""

CHECKPOINTS = Path(".checkpoints")


def drop(kept: Path) -> None:
    """Remove the checkpoints of a result that has been written."""
    shutil.rmtree(kept, ignore_errors=True)


def checkpoint_folder(name: str, key: Mapping[str, Any]) -> Path:
    """Return the folder for the checkpoints of ``name`` under the settings and data in ``key``.

    Checkpoints of the same name under another key are removed: they can never be resumed.
    """
    text = json.dumps({**key, "code": code_digest(CODE)}, sort_keys=True, default=str)
    folder = CHECKPOINTS / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    for old in CHECKPOINTS.glob(f"{name}-{'?' * 16}"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
