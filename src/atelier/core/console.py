"""Output on terminals and in pipes whose encoding lacks some of our characters."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from contextlib import suppress

NAME = "atelier-plain"
PLAIN = {
    "±": "+/-",
    "×": "x",
    "…": "...",
    "·": "|",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "−": "-",
    **dict.fromkeys("–—", "-"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
}
"""Replacements for characters that cannot be written."""


def use_plain_characters() -> None:
    """Make standard output and standard error replace what their encoding lacks, not fail.

    This includes file names that are not UTF-8: Python represents their bytes by characters that no
    encoding has.
    """
    codecs.register_error(NAME, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=NAME)


def _replace(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    # Bytes, as Python's UTF-8 codec accepts only ASCII text from a handler.
    return b"".join(_plain(character, error.encoding) for character in lacking), error.end


def _plain(character: str, encoding: str) -> bytes:
    """Return the nearest text that ``encoding`` can express, encoded."""
    if "\udc80" <= character <= "\udcff":
        character = chr(ord(character) - 0xDC00)  # the byte, read as Latin-1
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    for text in (character, PLAIN.get(character, ""), letters):
        with suppress(UnicodeEncodeError):
            if found := text.encode(encoding):
                return found
    return b"?"
