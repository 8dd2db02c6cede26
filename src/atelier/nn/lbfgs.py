"""L-BFGS for one picture of a batch, safeguarded against stalls and divergence."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim import LBFGS

FIRST = 0.05
"""RMS to which the first gradient is scaled: the change of a pixel by a plain gradient step."""
RISE = 3.0
"""A loss above this multiple of the best one counts as divergence."""
PATIENCE = 5
"""Diverged steps tolerated in a row: a single one gives L-BFGS the curvature it lacked."""


class GuardedLBFGS(LBFGS):
    """Torch's L-BFGS with one evaluation per step, without its two failure modes.

    A loss that is a mean over pixels has tiny gradients. L-BFGS is invariant to their scale, except
    without positive curvature, as when starting from noise: there it steps by the unscaled
    gradient, and the picture stays noise. So the loss is scaled once, by its first gradient.

    Without a line search, steps on bad curvature can destroy a picture (known from the PyTorch
    tutorial's Gatys). A line search is not an option: it evaluates one picture several times, while
    a batch shares its evaluations. So the best picture is kept, and restored on divergence.
    """

    def __init__(self, picture: Tensor, lr: float, history: int) -> None:
        # one evaluation per step: torch's default of 20 would not be counted
        super().__init__([picture], lr=lr, max_iter=1, history_size=history)
        self.picture, self.best, self.kept = picture, math.inf, picture.detach().clone()
        self.scale, self.leaps = 0.0, 0

    @torch.no_grad()
    def advance(self, loss: float, *, last: bool) -> None:
        """Take a step from the picture just evaluated, whose gradient is set.

        Args:
            loss: of the current picture; may be infinite or NaN after divergence.
            last: end with the best picture instead of an unevaluated one.
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
        if not self.scale:  # a zero gradient is a minimum at any scale
            self.scale = FIRST / max(gradient.square().mean().sqrt().item(), 1e-30)
        gradient.mul_(self.scale)
        self.step(lambda: loss * self.scale)  # type: ignore[no-untyped-call]
