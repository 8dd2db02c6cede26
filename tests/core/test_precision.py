"""What ``auto`` stands for, and what computes in it."""

from __future__ import annotations

import pytest
import torch

from atelier.core import precision as module
from atelier.core.precision import lowered, noted, resolved
from support.tensors import normal


@pytest.mark.parametrize(
    ("device", "has", "found"),
    [
        ("cpu", {"avx2": True}, "float32"),
        ("cpu", {"avx512_bf16": True}, "bfloat16"),
        ("cpu", {"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ("cuda", (7, 5), "float32"),
        ("cuda:1", (8, 0), "bfloat16"),
        ("mps", None, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_device_computes_in_it(
    device: str, has: object, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: has)
    assert resolved("auto", device) == found
    assert noted("x", "auto", device) == {"x": found}
    assert (resolved("float16", device), noted("x", "float16", device)) == ("float16", {})


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_products_are_computed_in_it(precision: str, dtype: torch.dtype) -> None:
    with lowered(precision, "cpu"):  # type: ignore[arg-type]
        assert (normal(3, 3) @ normal(3, 3)).dtype == dtype


def test_a_processor_without_bfloat16_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module._warn_of_imitation.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    for precision in ("float32", "auto", "bfloat16", "bfloat16"):
        lowered(precision, "cpu")  # type: ignore[arg-type]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("precision: bfloat16: this processor has no instructions")


def test_one_that_has_it_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module._warn_of_imitation.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    lowered("bfloat16", "cpu")
    assert not caplog.messages
