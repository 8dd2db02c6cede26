"""What the tests of the trained systems share: smooth pictures, one step's losses, a few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from atelier.core.batches import Batch
from atelier.methods.trained import Arbitrary, Trained, seeded

T = TypeVar("T")


def smooth(batch: int, height: int = 48, width: int = 48, seed: int = 0) -> Tensor:
    coarse = torch.rand(batch, 3, 6, 6, generator=Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def losses_of(method: Trained, seen: Batch) -> dict[str, Tensor]:
    ((name, found),) = method.training_losses(seen)
    assert name == "main"
    return found


def optimise(method: Trained, batches: Iterable[Batch]) -> list[float]:
    """One step per batch; the totals before each."""
    optimizer, totals = method.optimizers()["main"], []
    for batch in batches:
        total = losses_of(method, batch)["total"]
        optimizer.zero_grad()
        torch.autograd.backward(total)
        optimizer.step()
        totals.append(total.item())
    return totals


def check_identity_loss(method: Arbitrary, without: Arbitrary, seen: Batch) -> None:
    """Of ``method``, with an identity weight of 100: it is the photograph in its own style."""
    found, plain = losses_of(method, seen), losses_of(without, seen)
    assert "identity" not in plain
    with torch.no_grad():
        itself = method.blend(seen.content, [seen.style], [1.0], 0.0)
    expected = (itself - seen.content).square().mean()
    torch.testing.assert_close(found["identity"], expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found["total"], plain["total"] + 100 * found["identity"])


def twins(make: Callable[[], T]) -> tuple[T, T]:
    """Two of one seed, whatever the global generator, which stays as it was."""
    torch.manual_seed(1)
    one = make()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other = make()
    assert torch.equal(before, torch.get_rng_state()), "the global generator is not touched"
    return one, other


def let_through(method: Arbitrary) -> None:
    """Give its decoder weights that let the picture through; the first give a nearly even grey."""
    layers = [m for m in method.networks["decoder"].modules() if isinstance(m, torch.nn.Conv2d)]
    with seeded(1), torch.no_grad():
        for layer in layers:
            torch.nn.init.kaiming_normal_(layer.weight)
        drawn = method.blend(smooth(1), [smooth(1, seed=1)], [1.0])
        layers[-1].weight.mul_(0.2 / drawn.std())
        layers[-1].bias.sub_(drawn.mean() * 0.2 / drawn.std() - 0.5)  # type: ignore[union-attr]
