"""What the tests of the adversarial systems share: steps driven by hand, and a real training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from atelier.core.batches import Batch, Batches
from atelier.engine.loop import Trainer
from atelier.methods.trained import Losses
from atelier.methods.unpaired import Unpaired
from support.pictures import save
from support.steps import smooth


def batch_of(size: int = 1, side: int = 32, step: int = 0) -> Batch:
    """Another batch for every step."""
    content, style = (smooth(size, side, side, seed=2 * step + n) for n in range(2))
    return Batch(step, 0, content, style, ("a",) * 2 * size)


def losses_of(method: Unpaired, batch: Batch) -> dict[str, Losses]:
    """What is yielded, optimiser by optimiser, when nobody steps."""
    return dict(method.training_losses(batch))


def optimise(
    method: Unpaired, batches: Iterable[Batch], only: str | None = None
) -> dict[str, list[float]]:
    """Return the totals of every step by optimiser.

    With ``only`` the other networks stand still: against one that learns too, a loss need not fall.
    """
    optimizers = method.optimizers()
    totals: dict[str, list[float]] = {name: [] for name in optimizers}
    for batch in batches:
        for name, losses in method.training_losses(batch):
            optimizers[name].zero_grad()
            torch.autograd.backward(losses["total"])
            if only in {None, name}:
                optimizers[name].step()
            totals[name].append(losses["total"].item())
    return totals


def untouched(part: nn.Module) -> bool:
    return all(weight.grad is None for weight in part.parameters())


def idle(part: nn.Module) -> set[str]:
    """Parameters that get no gradient worth the name, after a backward pass."""
    named = part.named_parameters()
    return {k for k, w in named if w.grad is None or w.grad.abs().max() < 1e-9}


def finite(part: nn.Module) -> bool:
    grads = [weight.grad for weight in part.parameters() if weight.grad is not None]
    return bool(grads) and all(bool(grad.isfinite().all()) for grad in grads)


def training(method: Unpaired, folder: Path) -> Trainer:
    """On four photographs and two paintings of 64×48 pixels, its states below ``folder``."""
    paths = [save(folder / "pictures" / f"{n}.png", n) for n in range(6)]
    batches = Batches(paths[:4], paths[4:], method.plan(), method.seed)
    return Trainer(method, batches, folder / "states")


def stopped(one: Trainer, step: int) -> Trainer:
    """Trained until ``step`` and saved there."""
    for result in one.run():
        if result.step == step:
            one.save()
            break
    return one


def check_divided(make: Callable[[], Unpaired]) -> None:
    """A batch in two parts has the gradient of the whole one."""
    whole, parts = (divided(make(), batch_of(2), n) for n in (1, 2))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=1e-5)


def divided(method: Unpaired, batch: Batch, parts: int) -> dict[str, Tensor]:
    """Mean gradients of the parts of a batch; only the first optimiser's update is missing."""
    for place in range(parts):
        for losses in losses_of(method, batch.part(place, parts)).values():
            torch.autograd.backward(losses["total"] / parts)
    named = method.networks.named_parameters()
    return {name: weight.grad for name, weight in named if weight.grad is not None}
