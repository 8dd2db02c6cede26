"""L-BFGS for one picture among many that share a forward pass: its leaps are taken back."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim import LBFGS

RISE = 3.0
"""A loss above this many times the best one is a leap; smaller rises L-BFGS mends by itself."""


class GuardedLBFGS(LBFGS):
    """Torch's L-BFGS, one evaluation a step, without its habit of exploding.

    Without a line search a step on bad curvature can throw the picture far away for good (known
    from the PyTorch tutorial's Gatys). A line search is no way out here: it evaluates one picture
    several times, while a batch shares its evaluations. So the best picture is kept, and after a
    leap it is put back and the curvature forgotten: the next step is a short one downhill.
    """

    def __init__(self, picture: Tensor, lr: float, history: int) -> None:
        # one evaluation a step: with torch's default of 20 the closures would go uncounted
        super().__init__([picture], lr=lr, max_iter=1, history_size=history)
        self.picture, self.best, self.kept = picture, math.inf, picture.detach().clone()

    @torch.no_grad()
    def advance(self, loss: float, *, last: bool) -> None:
        """Step from the picture just evaluated; its gradient is there already.

        Args:
            loss: of the picture as it is; may be infinite or NaN after a leap.
            last: end on the best picture instead of one that nobody has evaluated.
        """
        if loss < self.best:
            self.best, self.kept = loss, self.picture.detach().clone()
        leapt = not loss <= RISE * self.best  # NaN too
        if leapt:
            self.state.clear()
        if leapt or last:
            self.picture.copy_(self.kept)
        else:
            self.step(lambda: loss)  # type: ignore[no-untyped-call]
