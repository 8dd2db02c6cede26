"""L-BFGS that takes its leaps back, on functions whose minimum is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.optim import LBFGS

from atelier.nn.guarded import RISE, GuardedLBFGS


def quartic(x: Tensor) -> Tensor:
    return ((x - 1) ** 4).sum() + (x[0] - 2 * x[1]) ** 2


def descend(steps: int, start: Tensor, leap_at: int | None = None) -> tuple[list[float], Tensor]:
    picture = start.clone().requires_grad_()
    optimizer, losses = GuardedLBFGS(picture, lr=0.5, history=10), []
    for step in range(steps):
        if step == leap_at:
            with torch.no_grad():
                picture.add_(1e3)
        optimizer.zero_grad()
        loss = quartic(picture)
        loss.backward()
        losses.append(loss.item())
        optimizer.advance(loss.item(), last=step == steps - 1)
    return losses, picture.detach()


def test_without_a_leap_it_is_torchs_own_lbfgs() -> None:
    start = torch.tensor([3.0, -2.0])
    theirs = start.clone().requires_grad_()
    plain = LBFGS([theirs], lr=0.5, max_iter=1, history_size=10)
    losses = []
    for _ in range(12):
        plain.zero_grad()
        loss = quartic(theirs)
        loss.backward()
        losses.append(loss.item())
        plain.step(loss.item)
    assert descend(12, start)[0] == losses


def test_after_a_leap_it_goes_back_to_the_best_and_on_downhill() -> None:
    losses, picture = descend(40, torch.tensor([3.0, -2.0]), leap_at=6)
    assert losses[6] > 1e9
    assert losses[7] == min(losses[:6])
    assert losses[-1] < 0.5 * losses[7]
    assert quartic(picture).item() == min(losses)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_a_leap(bad: float) -> None:
    picture = torch.tensor([1.0, 2.0]).requires_grad_()
    optimizer = GuardedLBFGS(picture, lr=1.0, history=5)
    picture.grad = torch.tensor([0.1, 0.1])
    optimizer.advance(1.0, last=False)
    assert not torch.equal(picture, torch.tensor([1.0, 2.0]))
    optimizer.advance(bad, last=False)
    assert torch.equal(picture, torch.tensor([1.0, 2.0]))
    assert not optimizer.state


def test_it_ends_on_the_best_picture_not_on_one_nobody_evaluated() -> None:
    picture = torch.tensor([1.0]).requires_grad_()
    optimizer = GuardedLBFGS(picture, lr=1.0, history=5)
    picture.grad = torch.tensor([1.0])
    optimizer.advance(1.0, last=False)
    optimizer.advance(RISE * 0.9, last=True)  # worse, though no leap
    assert torch.equal(picture, torch.tensor([1.0]))
