"""Display of the library's log messages by its front ends, the stages and the command line."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class _Stderr(logging.StreamHandler[TextIO]):
    """Handler that writes to the current ``sys.stderr``, which tests and servers replace."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def show_logs() -> None:
    """Show the package's log messages, from INFO up, on stderr as plain lines; idempotent."""
    logger = logging.getLogger("atelier")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr())
