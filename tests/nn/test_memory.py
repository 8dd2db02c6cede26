"""Memory format: by device and by whether there are instance norms; names of weights stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from atelier.nn.memory import memory_format, to_device

WIDE = {"architecture": "x86_64", "avx2": True, "avx512_f": True}
NARROW = {"architecture": "x86_64", "avx2": True}
ARM = {"architecture": "aarch64"}


@pytest.mark.parametrize(
    ("device", "has", "instance_norm", "wanted"),
    [
        ("cpu", WIDE, True, torch.contiguous_format),
        ("cpu", WIDE, False, torch.channels_last),
        ("cpu", NARROW, True, torch.contiguous_format),
        ("cpu", NARROW, False, torch.contiguous_format),
        ("cpu", ARM, False, torch.channels_last),
        ("cuda", NARROW, True, torch.channels_last),
        ("cuda:1", NARROW, False, torch.channels_last),
    ],
)
def test_the_format_follows_device_and_network(
    device: str,
    has: dict[str, Any],
    instance_norm: bool,
    wanted: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert memory_format(device, instance_norm=instance_norm) == wanted


def test_what_only_looks_is_channels_last_on_every_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the gradients of convolutions are slow there."""
    for has in (WIDE, NARROW, ARM):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert memory_format("cpu", gradient=False) == torch.channels_last


def test_a_network_keeps_its_names_and_values() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    placed = to_device(network, "cpu", gradient=False)
    assert placed[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, before[key]) for key, value in placed.state_dict().items())
    assert to_device(network, "cpu", instance_norm=True)[1].weight.is_contiguous()
