"""Where the library's messages go: it logs, and the edges (stages, command line) show."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is at that moment, which tests and servers replace."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def show_logs() -> None:
    """Show what the package logs, from INFO up, on stderr as plain lines; once is enough."""
    logger = logging.getLogger("atelier")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr())
