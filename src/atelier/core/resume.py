"""Folders of checkpoints, keyed by everything that the state depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(".checkpoints")


def drop(kept: Path) -> None:
    """Remove the checkpoints of a result that has been written."""
    shutil.rmtree(kept, ignore_errors=True)


def checkpoint_folder(name: str, key: Mapping[str, Any], code: str) -> Path:
    """Return the folder for the checkpoints of ``name``.

    Checkpoints of the same name under another key or code are removed: they can never be resumed.

    Args:
        name: name of the stage and the method.
        key: settings and data that the state depends on.
        code: digest of the code that it depends on, see ``core.fingerprint``.
    """
    text = json.dumps({**key, "code": code}, sort_keys=True, default=str)
    folder = CHECKPOINTS / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    for old in CHECKPOINTS.glob(f"{name}-{'?' * 16}"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
