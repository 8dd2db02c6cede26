"""Whether a training can go on to more steps: where the learning rates so far would be the same.

A rate that falls with the step alone does not know the training's length; one that falls over a
share of it does, and the weights reached so far are then not on the way of the longer training.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from atelier.methods.trained import Trained


def first_difference(method: Trained[Any], steps: int, done: int) -> int | None:
    """Return the first of ``done`` steps at which a training of ``steps`` had another rate.

    Counted from 0; None where ``done`` steps of it are the first steps of ``method``'s, too.
    """
    other = copy(method)
    other.settings = method.settings.model_copy(update={"steps": steps})
    differing = (n for n in range(done) if other.lr_factor(n) != method.lr_factor(n))
    return next(differing, None)


def why_anew(method: Trained[Any], steps: int, done: int) -> str:
    """Say why ``done`` steps of a training of ``steps`` cannot be continued; "" if they can."""
    differing = first_difference(method, steps, done)
    if differing is None:
        return ""
    longer = method.settings.steps
    return f"{steps} steps have other learning rates than {longer}, from step {differing + 1} on"


def can_grow(method: Trained[Any]) -> bool:
    """Whether a finished training is the beginning of one of more steps."""
    steps = int(method.settings.steps)
    return steps > 0 and first_difference(method, 2 * steps, steps) is None
