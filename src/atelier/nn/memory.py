"""Memory format of networks and batches: the one place that decides it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def memory_format(
    device: str, *, instance_norm: bool = False, gradient: bool = True
) -> torch.memory_format:
    """Return channels last, but contiguous on a CPU where that is faster.

    Instance norm needs contiguous input there: after a channels-last convolution every norm copies
    its input and its gradient, a seventh of the time of a CycleGAN step. And without AVX-512
    convolutions have a slow gradient in channels last: a step of AdaIN takes 1.16 times as long.

    Args:
        device: ``cpu``, ``cuda``, …
        instance_norm: whether the network has one.
        gradient: whether gradients are asked of it, ever.
    """
    if torch.device(device).type != "cpu":
        return torch.channels_last
    contiguous = instance_norm or (gradient and _without_avx512())
    return torch.contiguous_format if contiguous else torch.channels_last


def _without_avx512() -> bool:
    """Return whether it is an x86 processor with narrower vectors; others were not measured."""
    found = torch.cpu.get_capabilities()
    return found.get("architecture") == "x86_64" and not found.get("avx512_f", False)


def to_device(
    network: Network, device: str, *, instance_norm: bool = False, gradient: bool = True
) -> Network:
    """Move ``network`` to ``device``, in the format returned by ``memory_format``."""
    wanted = memory_format(device, instance_norm=instance_norm, gradient=gradient)
    return network.to(device=device).to(memory_format=wanted)
