"""L-BFGS that neither stalls nor gets lost, on functions whose minimum is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.optim import LBFGS

from atelier.nn.lbfgs import FIRST, PATIENCE, RISE, GuardedLBFGS

START = torch.tensor([3.0, -2.0])


def quartic(x: Tensor) -> Tensor:
    return ((x - 1) ** 4).sum() + (x[0] - 2 * x[1]) ** 2


def first_scale() -> float:
    leaf = START.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(quartic(leaf), leaf)
    return FIRST / gradient.square().mean().sqrt().item()


def optimise(steps: int, weight: float = 1.0, far: range = range(0)) -> tuple[list[float], Tensor]:
    """Losses of ``weight``·quartic; in the steps ``far`` the picture is thrown away again."""
    picture = START.clone().requires_grad_()
    optimizer, losses = GuardedLBFGS(picture, lr=1.0, history=10), []
    for step in range(steps):
        if step in far:
            with torch.no_grad():
                picture.copy_(torch.full((2,), 1e3))
        optimizer.zero_grad()
        loss = weight * quartic(picture)
        loss.backward()
        losses.append(loss.item())
        optimizer.advance(loss.item(), last=step == steps - 1)
    return losses, picture.detach()


def test_it_is_torchs_own_lbfgs_on_the_scaled_loss() -> None:
    theirs, scale, losses = START.clone().requires_grad_(), first_scale(), []
    plain = LBFGS([theirs], lr=1.0, max_iter=1, history_size=10)
    for _ in range(12):
        plain.zero_grad()
        loss = quartic(theirs)
        (scale * loss).backward()
        losses.append(loss.item())
        plain.step((scale * loss).item)
    assert optimise(12)[0] == pytest.approx(losses, rel=1e-4)


def test_a_tiny_loss_is_minimised_like_a_large_one() -> None:
    """As it is, torch's skips every curvature of a tiny loss and creeps along the gradient."""
    tiny, large = optimise(15, weight=1e-8)[0], optimise(15)[0]
    assert [value * 1e8 for value in tiny] == pytest.approx(large, rel=1e-2)
    theirs = START.clone().requires_grad_()
    plain = LBFGS([theirs], lr=1.0, max_iter=1)
    for _ in range(15):
        plain.zero_grad()
        loss = 1e-8 * quartic(theirs)
        loss.backward()
        plain.step(loss.item)
    assert 1e8 * loss.item() > 100 * large[-1]


def test_lost_it_goes_back_to_the_best_and_on_downhill() -> None:
    far = range(4, 5 + PATIENCE)
    losses, picture = optimise(50, far=far)
    assert all(losses[n] > RISE * losses[3] for n in far)
    assert losses[far.stop] == min(losses[: far.stop])
    assert losses[-1] < 0.5 * losses[far.stop]
    assert quartic(picture).item() == min(losses)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_never_borne(bad: float) -> None:
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


def test_at_a_minimum_it_stays() -> None:
    picture = torch.tensor([1.0]).requires_grad_()
    optimizer = GuardedLBFGS(picture, lr=1.0, history=5)
    picture.grad = torch.tensor([0.0])
    optimizer.advance(0.0, last=False)
    assert torch.equal(picture, torch.tensor([1.0]))
