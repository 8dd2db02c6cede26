"""Digests that tell whether two results come from the same code and settings."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def code_digest(parts: Iterable[ModuleType]) -> str:
    """Return the SHA-256 of the source of ``parts`` and of all loaded modules below them.

    Args:
        parts: packages and modules whose source decides a result. They are passed as objects, so
            that a name that no longer exists fails on import instead of silently.
    """
    names = tuple(part.__name__ for part in parts)
    below = tuple(f"{name}." for name in names)
    loaded = sorted(name for name in sys.modules if name in names or name.startswith(below))
    total = hashlib.sha256()
    for name in loaded:
        if source := sys.modules[name].__file__:
            total.update(Path(source).read_bytes())
    return total.hexdigest()


def settings_digest(settings: Any, module: str) -> str:
    """Return 16 hexadecimal digits over ``settings`` and the source of ``module``.

    ``module`` is located without being imported, as its imports may take seconds; one that does not
    exist counts as empty, so that a misspelt name still has a digest.
    """
    text = json.dumps(settings, sort_keys=True, default=str).encode()
    return hashlib.sha256(text + _source(module)).hexdigest()[:16]


def _source(module: str) -> bytes:
    try:
        found = find_spec(module)
    except (ImportError, ValueError):  # a missing parent, or an empty name
        return b""
    return Path(found.origin).read_bytes() if found and found.origin else b""
