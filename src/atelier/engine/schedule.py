"""Check whether a training can continue to more steps: its rates so far must be the same.

A rate that decays with the step alone does not depend on the length of the training. One that
decays over a share of the training does: a longer training would have reached other weights by now.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from atelier.methods.trained import Trained


def first_difference(method: Trained[Any], steps: int, done: int) -> int | None:
    """Return the first of ``done`` steps at which a training of ``steps`` had another rate.

    Steps are counted from 0; None: the training of ``method`` begins with the same ``done`` steps.
    """
    other = copy(method)
    other.settings = method.settings.model_copy(update={"steps": steps})
    differing = (n for n in range(done) if other.lr_factor(n) != method.lr_factor(n))
    return next(differing, None)


def why_anew(method: Trained[Any], steps: int, done: int) -> str:
    """Return why ``done`` steps of a training of ``steps`` cannot be continued; "" if they can."""
    differing = first_difference(method, steps, done)
    if differing is None:
        return ""
    longer = method.settings.steps
    return f"{steps} steps have other learning rates than {longer}, from step {differing + 1} on"


def can_grow(method: Trained[Any]) -> bool:
    """Return whether a training of more steps can continue a finished one."""
    steps = int(method.settings.steps)
    return steps > 0 and first_difference(method, 2 * steps, steps) is None
