"""Checkpoints of a training on disk, from which it resumes, and its final weights."""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.core.files import atomic, how_to_restore
from atelier.core.torch_files import read_torch, why_unreadable

log = logging.getLogger(__name__)
RUNNING, FINISHED = "step", "final"
"""Prefixes of the file names of states."""
KEPT = 2
"""Number of checkpoints kept: if the newest is unreadable, the previous one is used."""


def save_state(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write the full state after ``step`` atomically; delete all earlier ones but ``KEPT``.

    Later ones remain: they belong to a training of more steps, which may be resumed again.
    """
    path = folder / f"{RUNNING}-{step:08d}.pt"
    with atomic(path) as part:
        _save(dict(state), part)
    for old in _states(folder, RUNNING, step)[:-KEPT]:
        old.unlink()
    return path


def save_final_state(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write the state of a finished training, which more steps continue; delete earlier."""
    path = folder / f"{FINISHED}-{step:08d}.pt"
    with atomic(path) as part:
        _save(dict(state), part)
    for old in (*_states(folder, RUNNING, step), *_states(folder, FINISHED, step - 1)):
        old.unlink()
    return path


def _save(state: dict[str, Any], part: Path) -> None:
    try:
        torch.save(state, part)
    except RuntimeError as error:  # torch's writer hides the system's error
        if "inline_container" not in str(error):
            raise
        raise OSError(errno.ENOSPC, f"{part}: {error}") from None


def newest_state(
    folder: Path, steps: int, misfit: Callable[[dict[str, Any]], str] = lambda _: ""
) -> dict[str, Any] | None:
    """Return the newest usable state below ``folder``, on the CPU, or None.

    Args:
        folder: where ``save_state`` and ``save_final_state`` wrote.
        steps: steps of the training that is to resume. Later states are not considered, nor is the
            final state after as many steps: the final weights are then computed again.
        misfit: returns why a readable state cannot be resumed, or ""; an exception counts as a
            reason.
    """
    there = [*_states(folder, RUNNING, steps), *_states(folder, FINISHED, steps - 1)]
    for path in sorted(there, key=_step, reverse=True):
        try:
            _check_sums(path)
            found: dict[str, Any] = read_torch(path)
            reason = misfit(found)
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
        except Exception as error:  # noqa: BLE001 - whatever is wrong, an older one may be usable
            reason = f"cannot be read ({str(error).partition(chr(10))[0]})"
        if not reason:
            return found
        log.warning("%s: %s; trying an older one", path, reason)
    return None


def _check_sums(path: Path) -> None:
    """Compare every part with the checksum that torch writes beside it but never verifies.

    Raises:
        ValueError: a bit has changed since it was written.
    """
    with ZipFile(path) as file:
        if changed := file.testzip():
            raise ValueError(f"{changed} has changed since it was written")


def _states(folder: Path, word: str, last: int) -> list[Path]:
    """Return the states up to the step ``last``, in the order of their steps."""
    found = (path for path in folder.glob(f"{word}-{'[0-9]' * 8}.pt") if _step(path) <= last)
    return sorted(found, key=_step)


def _step(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write ``state`` as safetensors, atomically.

    Raises:
        OSError: the system's own error, such as a full disk.
    """
    save_tensors({key: value.detach().cpu().contiguous() for key, value in state.items()}, path)


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write contiguous tensors as safetensors, atomically; equal tensors give equal bytes.

    Raises:
        OSError: the system's own error, such as a full disk.
    """
    with atomic(path) as part:
        _save_file(dict(tensors), part, dict(metadata or {}))
        _sort_metadata(part)


def _sort_metadata(path: Path) -> None:
    """Sort the header's metadata, whose order in the library varies from process to process."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
        if "__metadata__" not in head:
            return
        notes = dict(sorted(head.pop("__metadata__").items()))
        text = json.dumps(
            {"__metadata__": notes, **head}, separators=(",", ":"), ensure_ascii=False
        )
        raw = text.encode().ljust(size)
        if len(raw) != size:  # escapes differ from the library's: leave the file unchanged
            return
        file.seek(8)
        file.write(raw)


def _save_file(tensors: dict[str, Tensor], part: Path, metadata: dict[str, str]) -> None:
    """Save; turn safetensors' wrapped system errors back into the ``OSError`` they were."""
    try:
        save_file(tensors, part, metadata or None)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)|code: (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1] or number[2]), str(error)) from None


def load_weights(networks: nn.Module, path: Path) -> None:
    """Load what ``save_weights`` wrote.

    Raises:
        UserError: missing, broken, or of networks with other settings.
    """
    try:
        networks.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; train the method first (dvc repro)") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a readable weight file: {error}; {how_to_restore(path)}"
        ) from None
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"{path}: was trained with other settings: {first}") from None


def load_some(networks: nn.Module, path: Path) -> None:
    """Load those weights in ``path`` that ``networks`` also has; leave the others unchanged.

    ``path`` is what ``save_weights`` or ``save_state`` wrote.

    Raises:
        UserError: missing, broken, or nothing in it fits.
    """
    found, own = _read_any(path), networks.state_dict()
    fitting = {k: v for k, v in found.items() if k in own and v.shape == own[k].shape}
    parts = {key.split(".")[0] for key in found}
    missing = {k for k in own if k.split(".")[0] in parts} - set(fitting)
    if missing or not fitting:
        named = f"{min(missing)} is missing or of another shape" if missing else "nothing is known"
        raise UserError(f"{path}: does not fit these settings: {named}")
    networks.load_state_dict(fitting, strict=False)


def _read_any(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such file to start from (.checkpoints and what a stage writes "
            "are cleared before it runs: copy the file elsewhere)"
        )
    if path.suffix == ".pt":
        state = read_torch(path)
        found: dict[str, Tensor] | None = state.get("networks") if isinstance(state, dict) else None
        if not isinstance(found, dict):
            raise UserError(f"{path}: is not a checkpoint of a training, which has `networks`")
        return found
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: {why_unreadable(error)}") from None
