"""The device of a run, and what the settings say of GPUs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from atelier.core.config import Params, UserError
from atelier.core.device import pick_device


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    conv, matmul = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = conv.fp32_precision, matmul.fp32_precision, torch.backends.cudnn.benchmark
    yield
    conv.fp32_precision, matmul.fp32_precision, torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize(
    ("overrides", "convolutions", "trial"),
    [
        ({}, "tf32", False),
        ({"tf32": False}, "ieee", False),
        ({"cudnn_benchmark": True}, "tf32", True),
    ],
)
def test_only_convolutions_are_rounded_and_only_if_asked_for(
    overrides: dict[str, bool], convolutions: str, trial: bool
) -> None:
    assert pick_device(Params({"device": "cpu", **overrides})) == "cpu"
    assert torch.backends.cudnn.conv.fp32_precision == convolutions
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.benchmark is trial


def test_a_gpu_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device: cuda, but torch sees no GPU"):
        pick_device(Params({"device": "cuda"}))
