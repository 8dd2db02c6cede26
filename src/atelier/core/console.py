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
"""What stands for a character that cannot be written."""


def use_plain_characters() -> None:
    """Let standard output and errors replace what their encoding lacks, instead of failing.

    Names of files that are not UTF-8 are among it: Python holds their bytes as characters that no
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
    # Bytes, as Python's UTF-8 takes no other text than ASCII from a handler.
    return b"".join(_plain(character, error.encoding) for character in lacking), error.end


def _plain(character: str, encoding: str) -> bytes:
    """The nearest text that ``encoding`` has, encoded."""
    if "\udc80" <= character <= "\udcff":
        character = chr(ord(character) - 0xDC00)  # the byte, taken for Latin-1
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    for text in (character, PLAIN.get(character, ""), letters):
        with suppress(UnicodeEncodeError):
            if found := text.encode(encoding):
                return found
    return b"?"
