"""Precision of convolutions: which one a device is fast in, and torch's autocast to it."""

from __future__ import annotations

import logging
from functools import cache

import torch

from atelier.core.structure import Precision

log = logging.getLogger(__name__)

AMPERE = 8
"""Major compute capability from which NVIDIA's GPUs have bfloat16."""
CPU_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Names of processors' instructions for it, on x86 and ARM."""


def resolved(precision: Precision, device: str) -> str:
    """Return ``precision``, and for ``auto`` the one it stands for on ``device``."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def has_bfloat16(device: str) -> bool:
    """Return whether a device computes in bfloat16, instead of imitating it in float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= AMPERE
    if torch.device(device).type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in CPU_BFLOAT16)
    return False


def lowered(precision: Precision, device: str) -> torch.autocast:
    """Return a context in which convolutions and matrix products have ``precision``."""
    found = resolved(precision, device)
    if found == "bfloat16" and not has_bfloat16(device):
        _warn_of_imitation(device)
    dtype = torch.float16 if found == "float16" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype, enabled=found != "float32")


@cache
def _warn_of_imitation(device: str) -> None:
    """Say it once: a step of MetaNet took over ten times as long as in float32 with AVX2."""
    log.warning(
        "precision: bfloat16: %s has no instructions for it and is many times slower than in "
        "float32; `auto` takes what is fast",
        "this processor" if torch.device(device).type == "cpu" else device,
    )


def noted(setting: str, precision: Precision, device: str) -> dict[str, str]:
    """Return what ``auto`` stands for, for the card: the result depends on it, not on the word."""
    return {setting: resolved(precision, device)} if precision == "auto" else {}
