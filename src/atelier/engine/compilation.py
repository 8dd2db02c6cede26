"""Compilation of networks by torch.compile, in place: names and weights are unchanged."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

import torch
from torch import nn

from atelier.core.config import UserError


def compile_networks(networks: nn.ModuleDict, device: str) -> None:
    """Compile all ``networks``, each at its first call.

    Raises:
        UserError: on a CPU, where torch writes C++, there is no compiler of it.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if torch.device(device).type == "cpu" and not shutil.which(compiler):
        reason = f"needs a C++ compiler on a CPU, and {compiler} is not installed"
        raise UserError(f"compile: true {reason}; install it, name another in CXX, or set false")
    for network in _called(networks):
        network.compile()


def _called(networks: nn.ModuleDict) -> Iterator[nn.Module]:
    """Yield the networks that are called, as a ModuleDict is not."""
    for part in networks.values():
        yield from _called(part) if isinstance(part, nn.ModuleDict) else (part,)
