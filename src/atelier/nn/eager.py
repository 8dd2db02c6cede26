"""Eager execution on a CPU, where some of torch's operations are replaced by faster ones."""

from __future__ import annotations

import torch
from torch import Tensor


def eager_on_cpu(value: Tensor) -> bool:
    """Return False on a GPU, and where a graph is recorded: it is read and run elsewhere."""
    return value.device.type == "cpu" and not torch.compiler.is_compiling()
