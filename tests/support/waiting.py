"""Waiting for something, with an end."""

import time
from collections.abc import Callable

PATIENCE = 60.0


def becomes(true: Callable[[], bool]) -> bool:
    """Return whether it becomes true within a minute."""
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()
