"""Progress of long steps: a bar with the remaining time in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

PLAIN_EVERY = 10.0
"""Seconds between plain lines, which keep logs of hours readable."""


def progress(iterable: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass ``iterable`` through and report its progress on stderr.

    Args:
        iterable: items, steps or results.
        total: number of items.
        what: short name of the work.
    """
    if sys.stderr.isatty():
        return iter(tqdm(iterable, total=total, desc=what, dynamic_ncols=True))
    return _plain(iterable, total, what)


def _plain(iterable: Iterable[T], total: int, what: str) -> Iterator[T]:
    start = told = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - told >= PLAIN_EVERY:
            told = now
            left = (now - start) / done * max(0, total - done)
            _say(f"{what}: {done}/{total}, about {left:.0f} s left")
    _say(f"{what}: {done}/{total} in {time.monotonic() - start:.0f} s")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
