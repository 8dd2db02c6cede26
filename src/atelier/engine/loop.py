"""Training loop of all systems: it yields every step, and saves and restores its full state.

It knows the interface of ``methods/trained.py`` and no tracker: the caller iterates over ``run``,
shows progress, draws samples, logs. Batches are a function of the step's number (see
``batches.py``), so networks, optimisers, moving average, step and the method's own state (image
pools) are the full state, and a resumed training equals an uninterrupted one bit for bit on the
CPU.

A batch can be divided among processes (``group``) and, in each, into ``accumulate`` parts that are
computed one after another. Gradients are averaged over all parts, so that only rounding differs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from atelier.core.batches import Batch, Batches, loader
from atelier.core.checkpoints import load_weights, newest_state, save_final_state, save_state
from atelier.core.config import UserError
from atelier.core.precision import lowered
from atelier.engine.compilation import compile_networks
from atelier.engine.distributed import ALONE, ProcessGroup
from atelier.engine.guard import Guard, exact, read
from atelier.engine.interruption import interruptible
from atelier.engine.scaling import gradient_scalers, refuse_lost
from atelier.engine.schedule import why_anew
from atelier.engine.snapshots import snapshot_steps
from atelier.methods.trained import Trained
from atelier.methods.warm_start import warm_up
from atelier.nn.memory import layout


@dataclass(frozen=True)
class StepResult:
    """Result of a finished step."""

    step: int
    """Number of finished steps, from 1."""
    losses: dict[str, float]
    """Means since the last point of the curves; empty between points."""


class Trainer:
    """A method, its optimisers and the state of its training."""

    def __init__(
        self,
        method: Trained[Any],
        batches: Batches,
        folder: Path,
        group: ProcessGroup = ALONE,
        before: Path | None = None,
    ) -> None:
        """``before``: weights of an earlier phase, with which it begins."""
        self.method, self.batches, self.folder, self.group = method, batches, folder, group
        self.settings = method.settings
        self.parts = group.size * self.settings.accumulate
        if self.settings.batch % self.parts:
            raise UserError(
                f"batch: {self.settings.batch} pictures cannot be divided into {self.parts} equal "
                f"parts ({group.size} devices × accumulate {self.settings.accumulate})"
            )
        self.optimizers = dict(method.optimizers())
        self.scalers = gradient_scalers(self.optimizers, self.settings.precision, method.device)
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.optimizers.items()
        }
        self.average = self._average() if self.settings.ema else None
        s = self.settings
        self.snapshot_steps = snapshot_steps(s.steps, s.snapshots)
        """Steps after which the caller may apply the method: their losses are finite."""
        self.step = 0
        self.seconds = {"data": 0.0, "step": 0.0}
        self.history: dict[str, list[float]] = {"step": []}
        self.sums: dict[str, Tensor | float] = {}  # on the device: see Guard
        self.guard = Guard(method.device, group)
        self.unfinished: set[str] = set()
        self.final_extra: list[Any] = []
        if not self._restored():
            if before:
                load_weights(method.inference_networks, before)
            else:
                warm_up(method)
            if self.settings.ema:
                self.average = self._average()  # average of the loaded weights
        if self.settings.compile:
            compile_networks(self.method.networks, method.device)

    def _average(self) -> AveragedModel:
        update = get_ema_multi_avg_fn(self.settings.ema)  # type: ignore[no-untyped-call]
        return AveragedModel(self.method.inference_networks, multi_avg_fn=update)

    def run(self) -> Iterator[StepResult]:
        """Train up to ``steps``, yielding every step.

        Raises:
            UserError: a loss or a gradient is not finite; names step and files. The last checkpoint
                is unchanged, and on a CPU so are the weights before it; see ``Guard``.
            KeyboardInterrupt: Ctrl-C, after the step is finished and saved.
        """
        settings = self.settings
        self.method.networks.train()
        if self.step == settings.steps and self.sums:  # interrupted at the very last step
            self._point()
        with interruptible() as asked:
            made = loader(self.batches, self.step, settings.steps, settings.workers)
            saved = time.monotonic()
            while self.step < settings.steps:
                # saved after the caller has drawn and logged: if killed there, the step is repeated
                yield self._one_step(made)
                if self.group.any(asked()):
                    self.save()
                    raise KeyboardInterrupt
                due = time.monotonic() - saved >= 60 * settings.save_minutes
                if self.step < settings.steps and self.group.any(due):
                    self.save()
                    saved = time.monotonic()  # so that saving itself never takes most of the time
        self.final_extra = self.group.gather(self.method.extra_state())

    def _one_step(self, made: Iterator[Batch]) -> StepResult:
        began = time.monotonic()
        batch = next(made).to(self.method.device, layout(self.method.device))
        loaded = time.monotonic()
        runs = [self._training_losses(part) for part in self._own_parts(batch)]
        while self._optimise(runs, batch):
            pass
        if self.average:
            self.average.update_parameters(self.method.inference_networks)
        self.step += 1
        self.seconds["data"] += loaded - began
        self.seconds["step"] += time.monotonic() - loaded
        return StepResult(self.step, self._point())

    def _own_parts(self, batch: Batch) -> list[Batch]:
        first = self.group.rank * self.settings.accumulate
        return [batch.part(first + n, self.parts) for n in range(self.settings.accumulate)]

    def _training_losses(self, batch: Batch) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Yield the method's losses; forward passes run in the precision of the settings."""
        # draws from the global generator (dropout) are a function of the step as well
        torch.manual_seed(int(batch.generator("global").initial_seed()))
        phases = self.method.training_losses(batch)
        while True:
            with lowered(self.settings.precision, self.method.device):
                found = next(phases, None)
            if found is None:
                return
            yield found

    def _optimise(
        self, runs: Sequence[Iterator[tuple[str, Mapping[str, Tensor]]]], batch: Batch
    ) -> bool:
        """Update by one optimiser with the mean gradient of all parts; False if none is left."""
        name, sums = "", dict[str, Tensor]()
        for run in runs:
            found = next(run, None)
            if found is None:
                continue  # finish the others as well: a method may act after its last update
            first, (name, losses) = not name, found
            if first:
                self.optimizers[name].zero_grad()
            self._check({f"the loss {key!r}": value for key, value in losses.items()}, batch)
            for key, value in losses.items():
                share = exact(value, self.method.device) / len(runs)
                sums[key] = sums[key] + share if key in sums else share
            torch.autograd.backward(self.scalers[name].scale(losses["total"]) / len(runs))
        if name:
            self._update(name, sums, batch)
        return bool(name)

    def _update(self, name: str, losses: Mapping[str, Tensor], batch: Batch) -> None:
        for key, value in losses.items():
            label = name if key == "total" and len(self.optimizers) > 1 else key
            self.sums[label] = self.sums.get(label, 0.0) + value
        optimizer, scaler = self.optimizers[name], self.scalers[name]
        self._clip(optimizer, scaler, batch)
        factor = self.method.lr_factor(self.step)
        for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
            group["lr"] = rate * factor
        scaler.step(optimizer)
        scaler.update()

    def _clip(self, optimizer: Optimizer, scaler: GradScaler, batch: Batch) -> None:
        weights = [w for g in optimizer.param_groups for w in g["params"] if w.grad is not None]
        grads = [w.grad for w in weights]
        self.group.average(grads)
        scaler.unscale_(optimizer)
        norm = get_total_norm(grads)
        if not scaler.is_enabled():  # a scaled one may overflow: the update is then left out
            self._check({"the gradient": norm}, batch)
        if self.settings.clip_norm:
            clip_grads_with_norm_(weights, self.settings.clip_norm, norm)

    def _check(self, values: Mapping[str, Tensor], batch: Batch) -> None:
        self.guard.note(self.step + 1, batch.names, values)

    def _point(self) -> dict[str, float]:
        """Return the means of an interval of the curves at its end, else {}.

        The training may end before an interval does.
        """
        if self.step in self.snapshot_steps:
            self.guard.settle()
        whole = self.step % self.settings.log_every == 0
        if not whole and self.step != self.settings.steps:
            return {}
        self.guard.settle()
        refuse_lost(self.scalers, self.step)
        count = self.step - int(next(reversed(self.history["step"]), 0))
        found = self.group.means({name: total / count for name, total in read(self.sums).items()})
        for name, value in {"step": self.step, **found}.items():
            self.history.setdefault(name, []).append(value)
        if whole:
            self.sums = {}
        else:
            self.unfinished = {"step", *found}
        return found

    def final_weights(self) -> dict[str, Tensor]:
        """Return the final weights: the moving average, if there is one."""
        networks = self.average.module if self.average else self.method.inference_networks
        state: dict[str, Tensor] = networks.state_dict()
        return state

    @contextmanager
    def swap_ema_weights(self) -> Iterator[None]:
        """Temporarily load the final weights into the method, for samples."""
        if not self.average:
            yield
            return
        networks = self.method.inference_networks
        own = {key: value.clone() for key, value in networks.state_dict().items()}
        networks.load_state_dict(self.average.module.state_dict())
        try:
            yield
        finally:
            networks.load_state_dict(own)

    def save(self) -> None:
        """Write the full state atomically, in the main process of the group.

        Raises:
            UserError: a loss or a gradient since the last point of the curves was not finite.
        """
        self.guard.settle()
        extra = self.group.gather(self.method.extra_state())
        if self.group.is_main:
            save_state(self.folder, self.step, self._state(extra))

    def save_final(self) -> None:
        """Write the state after the last step of ``run``, for a training of more steps."""
        save_final_state(self.folder, self.step, self._state(self.final_extra))

    def _state(self, extra: Sequence[Any]) -> dict[str, Any]:
        """Return the state between two steps; of the curves, what a longer training also has."""
        return {
            "step": self.step,
            "steps": self.settings.steps,
            "networks": self.method.networks.state_dict(),
            "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()},
            "scalers": {name: one.state_dict() for name, one in self.scalers.items()},
            "average": self.average.state_dict() if self.average else None,
            "seconds": self.seconds,
            "history": {
                name: points[:-1] if name in self.unfinished else points
                for name, points in self.history.items()
            },
            "sums": read(self.sums),
            "extra": extra,
        }

    def _misfit(self, state: Mapping[str, Any]) -> str:
        """Return why a state is not of this training, or ""; checked before anything is changed."""
        own = self.method.networks.state_dict()
        if _shapes(state["networks"]) != _shapes(own):
            return "has networks of other shapes"
        if self.average and _shapes(state["average"]) != _shapes(self.average.state_dict()):
            return "has an average of other shapes"
        groups = {name: len(one["param_groups"]) for name, one in state["optimizers"].items()}
        if groups != {name: len(one.param_groups) for name, one in self.optimizers.items()}:
            return "has other optimisers"
        if not (0 < state["step"] <= self.settings.steps and state["extra"] and state["seconds"]):
            return f"is of step {state['step']}"
        if not set(state["history"]) >= {"step"} or "sums" not in state:
            return "has no curves"
        return why_anew(self.method, state["steps"], state["step"])

    def _restored(self) -> bool:
        """Return whether a state was restored."""
        state = self.group.from_main(  # others may run on machines with another disk
            lambda: newest_state(self.folder, self.settings.steps, self._misfit)
        )
        if state is None:
            return False
        self.method.networks.load_state_dict(state["networks"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, scale in state.get("scalers", {}).items():
            if scale:  # none unless in float16
                self.scalers[name].load_state_dict(scale)
        if self.average:
            self.average.load_state_dict(state["average"])
        if len(state["extra"]) != self.group.size:
            raise UserError(
                f"{self.folder}: started on {len(state['extra'])} devices; it resumes only there"
            )
        self.method.load_extra_state(state["extra"][self.group.rank])
        for name in ("step", "seconds", "history", "sums"):
            setattr(self, name, state[name])
        return True


def _shapes(tensors: Mapping[str, Any]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}
