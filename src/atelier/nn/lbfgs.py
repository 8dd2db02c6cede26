"""L-BFGS for one picture among many that share a forward pass, guarded against stalls and leaps."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim import LBFGS

FIRST = 0.05
"""Root mean square the first gradient is scaled to: what a plain gradient step moves a pixel."""
RISE = 3.0
"""A loss above this many times the best one is a leap."""
PATIENCE = 5
"""Leaps in a row that are borne: a single one teaches L-BFGS the curvature it lacked."""


class GuardedLBFGS(LBFGS):
    """Torch's L-BFGS, one evaluation a step, without its two ways to ruin a picture.

    A loss that is a mean over pixels has tiny gradients. L-BFGS is indifferent to that, except
    where it finds no positive curvature, as at a noise start: there it steps by the bare gradient,
    and stays noise. So the loss is scaled, once, by its first gradient.

    Without a line search, steps on bad curvature can throw a picture away for good (known from the
    PyTorch tutorial's Gatys). A line search is no way out: it evaluates one picture several times,
    while a batch shares its evaluations. So the best picture is kept, and put back when it is lost.
    """

    def __init__(self, picture: Tensor, lr: float, history: int) -> None:
        # one evaluation a step: with torch's default of 20 the closures would go uncounted
        super().__init__([picture], lr=lr, max_iter=1, history_size=history)
        self.picture, self.best, self.kept = picture, math.inf, picture.detach().clone()
        self.scale, self.leaps = 0.0, 0

    @torch.no_grad()
    def advance(self, loss: float, *, last: bool) -> None:
        """Step from the picture just evaluated; its gradient is there already.

        Args:
            loss: of the picture as it is; may be infinite or NaN after a leap.
            last: end on the best picture instead of one that nobody has evaluated.
        """
        if loss < self.best:
            self.best, self.kept = loss, self.picture.detach().clone()
        self.leaps = 0 if loss <= RISE * self.best else self.leaps + 1
        lost = self.leaps > PATIENCE or not math.isfinite(loss)
        if lost:
            self.state.clear()
            self.leaps = 0
        if lost or last:
            self.picture.copy_(self.kept)
        else:
            self._scaled_step(loss)

    def _scaled_step(self, loss: float) -> None:
        gradient = self.picture.grad
        if gradient is None:
            raise ValueError("the picture has no gradient: evaluate it first")
        if not self.scale:  # a gradient of zero is a minimum: whatever the scale, it stays
            self.scale = FIRST / max(gradient.square().mean().sqrt().item(), 1e-30)
        gradient.mul_(self.scale)
        self.step(lambda: loss * self.scale)  # type: ignore[no-untyped-call]
