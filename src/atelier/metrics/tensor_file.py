"""Tensors in a file with a digest, so that one that has changed is noticed when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from atelier.core.checkpoints import save_tensors
from atelier.core.config import UserError

DIGEST = "sha256"
"""Key of the digest in the file's metadata."""


def save_with_digest(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, str]) -> None:
    """Write tensors and what is to be known about them as safetensors, atomically."""
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_tensors(whole, path, {**about, DIGEST: digest_of(whole, about)})


def load_with_digest(path: Path, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what ``save_with_digest`` wrote: the tensors, and what is known about them.

    Args:
        path: the file.
        remedy: what to do about one that cannot be used, for the message.

    Raises:
        UserError: missing, broken, or changed since it was written.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            about = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read ({reason}); {remedy}") from None
    if about.pop(DIGEST, None) != digest_of(tensors, about):
        raise UserError(f"{path}: has changed since it was written; {remedy}")
    return tensors, about


def digest_of(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """Return the SHA-256 of tensors with their names, types and shapes, and of ``about``."""
    found = hashlib.sha256(json.dumps(dict(sorted(about.items()))).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()
