"""Resumable states of a training on disk, and its final weights."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.core.files import atomic

KEPT = 2
"""States kept: should the newest be unreadable, the one before it is there."""


def save_state(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write the whole state after ``step`` atomically; older ones but ``KEPT`` go."""
    path = folder / f"step-{step:08d}.pt"
    with atomic(path) as part:
        _save(dict(state), part)
    for old in _states(folder)[:-KEPT]:
        old.unlink()
    return path


def _save(state: dict[str, Any], part: Path) -> None:
    try:
        torch.save(state, part)
    except RuntimeError as error:  # torch's writer hides the system's error
        if "inline_container" not in str(error):
            raise
        raise OSError(errno.ENOSPC, f"{part}: {error}") from None


def newest_state(folder: Path) -> dict[str, Any] | None:
    """Return the newest readable state below ``folder``, on the CPU; None without one."""
    for path in reversed(_states(folder)):
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, an older one may do
            reason = str(error).partition("\n")[0]
            print(f"{path}: cannot be read ({reason}); trying an older one", file=sys.stderr)
        else:
            return found
    return None


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"))


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write ``state`` as safetensors, atomically."""
    whole = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with atomic(path) as part:
        save_file(whole, part)


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
        raise UserError(f"{path}: not a readable weight file: {error}; train again") from None
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"{path}: was trained with other settings: {first}") from None


def load_some(networks: nn.Module, path: Path) -> None:
    """Load the weights in ``path`` that ``networks`` has too; the others stay as they are.

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
    try:
        if path.suffix != ".pt":
            return load_file(path)
        found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)[
            "networks"
        ]
    except Exception as error:  # noqa: BLE001 - torch and safetensors raise many kinds
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: not a readable weight file: {reason}") from None
    return found
