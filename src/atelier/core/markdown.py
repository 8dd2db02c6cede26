"""Text from files inside Markdown: it brings in no pictures, links or frames from elsewhere.

Names, cards and errors are shown by the dashboard and by MLflow, whose pages both draw pictures
that a text names; from another computer, that would tell it who looks at the results.
"""

from __future__ import annotations

SIGNS = r"\`*[]!|"
"""What begins emphasis, code, links, pictures and cells; ``_`` within words is left as it is."""
HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""MLflow passes tags on, pictures and frames among them, whatever stands before them."""


def escaped(text: object, more: str = "") -> str:
    """Return ``text`` to be read as it stands; ``more`` are further signs to take literally."""
    signs = SIGNS + more
    return "".join(f"\\{c}" if c in signs else HTML.get(c, c) for c in str(text))


def code(text: object) -> str:
    """Return ``text`` as inline code, on one line; no sign in it is read."""
    plain = " ".join(str(text).replace("`", "'").split())
    return f"`{plain}`" if plain else ""
