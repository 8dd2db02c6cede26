"""Precision of convolutions: which one a device is fast in, and torch's autocast to it."""

from __future__ import annotations

import torch

from atelier.core.structure import Precision

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
    dtype = torch.float16 if found == "float16" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype, enabled=found != "float32")


def noted(setting: str, precision: Precision, device: str) -> dict[str, str]:
    """Return what ``auto`` stands for, for the card: the result depends on it, not on the word."""
    return {setting: resolved(precision, device)} if precision == "auto" else {}
