"""File names for prepared pictures: made from the source's own path, unique, safe everywhere."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path


def text(path: Path) -> str:
    """``path`` with forward slashes, as something that can be written to a JSON file."""
    # A name that is not UTF-8 could not be written to the manifest.
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def stems(sources: list[str]) -> list[str]:
    """A stem for each: readable, safe on every file system, unique.

    Where several would share one (they differ by suffix, case or odd characters), all of them get
    a few digits that depend on their own path only.
    """
    plain = [_slug(source) for source in sources]
    taken = Counter(name.casefold() for name in plain)
    return [
        name if taken[name.casefold()] == 1 else f"{name}-{_digits(source)}"
        for source, name in zip(sources, plain, strict=True)
    ]


def _slug(source: str) -> str:
    joined = source.rpartition(".")[0].replace("/", "__")
    safe = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", joined))
    return safe.encode()[:160].decode("utf-8", "ignore")  # file systems stop at 255 bytes


def _digits(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:8]
