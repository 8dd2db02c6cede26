"""Phases of a training: settings that change after some of the steps (``then``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

THEN, WARM_START = "then", "warm_start"


def phases(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of each phase: those of the block, and each of ``then`` over the last."""
    found = [{key: value for key, value in block.items() if key != THEN}]
    for change in block.get(THEN) or ():
        found.append({**found[-1], WARM_START: None, **change})
    return found


def total_steps(block: Mapping[str, Any]) -> int | None:
    """Return the steps of all phases; None if they are given as epochs."""
    steps = [part.get("steps") for part in phases(block)]
    known = [one for one in steps if isinstance(one, int)]
    return sum(known) if len(known) == len(steps) else None
