"""File names of prepared pictures: derived from the source path, unique, portable."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

DIGITS = 8
"""Hexadecimal digits added to a name that several would share."""


def readable(name: str | Path) -> str:
    """Return ``name`` with forward slashes, as printable text.

    Names on Unix are bytes. Those that are not UTF-8 are mostly old names in Latin-1.
    """
    raw = os.fsencode(name.as_posix() if isinstance(name, Path) else name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        # Latin-1's characters 128 to 159 are control characters, which are not printable.
        return re.sub(r"[\x80-\x9f]", "\ufffd", raw.decode("latin-1"))


def is_utf8(path: Path) -> bool:
    """Return whether the name of ``path`` can be written to a file as text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def stems(sources: Sequence[str]) -> list[str]:
    """Return a stem for each source: readable, valid on every file system, unique.

    Sources whose stems would collide (they differ by suffix, case, special characters or encoding
    only) all get digits that depend on their own path alone, more digits if those collide too.

    Args:
        sources: distinct paths with forward slashes, as the system reports them.
    """
    plain = [_slug(readable(source)) for source in sources]
    digits = [hashlib.sha256(os.fsencode(source)).hexdigest() for source in sources]
    counts = [0] * len(sources)
    while True:
        names = [f"{n}-{d[:c]}" if c else n for n, d, c in zip(plain, digits, counts, strict=True)]
        taken = Counter(name.casefold() for name in names)
        shared = [n for n, name in enumerate(names) if taken[name.casefold()] > 1]
        if not shared or min(counts[n] for n in shared) >= len(digits[0]):
            return names
        for n in shared:
            counts[n] += DIGITS


def _slug(source: str) -> str:
    joined = source.rpartition(".")[0].replace("/", "__")
    safe = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", joined))
    return safe.encode()[:160].decode("utf-8", "ignore")  # file systems allow 255 bytes
