"""Interruption of a training by Ctrl-C or SIGTERM, between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[Any]:
    """Yield a function that returns whether Ctrl-C was pressed, or SIGTERM sent.

    A second signal stops at once.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # only the main thread receives signals
        return

    def note(number: int, frame: Any) -> None:  # noqa: ARG001 - the signature of a handler
        pressed.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pressed.is_set
    finally:
        restore()
