"""Memory layout: by device and processor; names and values of weights stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from atelier.nn.memory import layout, to_device


@pytest.mark.parametrize(
    ("device", "processor", "wanted"),
    [
        ("cpu", "AVX512", torch.channels_last),
        ("cpu", "AVX2", torch.contiguous_format),
        ("cpu", "DEFAULT", torch.contiguous_format),
        ("cuda:1", "AVX2", torch.channels_last),
    ],
)
def test_the_layout_follows_device_and_processor(
    device: str, processor: str, wanted: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: processor)
    assert layout(device) == wanted


def test_a_network_keeps_its_names_and_values() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    placed = to_device(network, "cpu")
    assert placed[1].weight.is_contiguous(memory_format=layout("cpu"))
    assert all(torch.equal(value, before[key]) for key, value in placed.state_dict().items())
