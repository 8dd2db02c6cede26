"""Refusal of losses and gradients that are not finite, without waiting for a GPU in every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.engine.distributed import ProcessGroup

MOST = 1000
"""Notes after which they are read in any case."""


@dataclass(frozen=True)
class _Note:
    step: int
    names: tuple[str, ...]
    what: tuple[str, ...]
    finite: Tensor
    """(len(what),), bool, on the device."""


class Guard:
    """Check of all values of a training.

    On a CPU a value is there as soon as it is computed, and ``note`` raises before the weights are
    changed. To read one from a GPU means to wait until it has done all it was told to, so that it
    idles while the next step is prepared: there the checks stay on the device until ``settle``
    reads all of them in one transfer. The trainer calls it at every point of the curves, and before
    anything is saved or drawn, so that weights after such a value are never kept.
    """

    def __init__(self, device: str, group: ProcessGroup) -> None:
        self.group, self.device = group, device
        self.defers = torch.device(device).type != "cpu"
        self.notes: list[_Note] = []

    def note(self, step: int, names: tuple[str, ...], values: Mapping[str, Tensor]) -> None:
        """Check scalars on their device.

        Args:
            step: number of the step, from 1.
            names: files of its batch, for the message.
            values: what they are → values.

        Raises:
            UserError: see ``settle``; on a GPU only after many notes.
        """
        there = [exact(value, self.device) for value in values.values()]
        self.notes.append(_Note(step, names, tuple(values), torch.stack(there).isfinite()))
        if not self.defers or len(self.notes) > MOST:
            self.settle()

    def settle(self) -> None:
        """Read the checks since the last call.

        Raises:
            UserError: a value was not finite; in all processes of the group for the same reason.
        """
        if not self.notes:
            return
        notes, self.notes = self.notes, []
        finite = iter(torch.cat([note.finite for note in notes]).tolist())
        bad = [(note, what) for note in notes for what in note.what if not next(finite)]
        own = _message(*bad[0]) if bad else ""
        if found := [text for text in self.group.gather(own) if text]:
            raise UserError(found[0])


def _message(note: _Note, what: str) -> str:
    return (
        f"step {note.step}: {what} is not finite; lower lr, or set clip_norm "
        f"(the batch: {', '.join(note.names)})"
    )


def exact(value: Tensor, device: str) -> Tensor:
    """Return a scalar on the device without its graph, in float64 where there is one."""
    mps = torch.device(device).type == "mps"
    return value.detach().to(device, torch.float32 if mps else torch.float64, non_blocking=True)


def read(sums: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Return numbers that are on a device, in one transfer."""
    there = {name: value for name, value in sums.items() if isinstance(value, Tensor)}
    values: list[float] = torch.stack([*there.values()]).tolist() if there else []
    rest = {name: value for name, value in sums.items() if not isinstance(value, Tensor)}
    return {**dict.fromkeys(sums, 0.0), **rest, **dict(zip(there, values, strict=True))}
