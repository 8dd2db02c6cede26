"""The benchmarks of training steps run, with tiny sizes; times are not looked at."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from support.scripts import script

pytestmark = pytest.mark.slow

SYSTEMS = ["fast", "ghiasi", "adain", "efdm", "wct", "adaattn", "metanet", "sanet", "stytr2"]
SMALL = {"crop": 32, "batch": 2}


@pytest.fixture(scope="module")
def steps() -> ModuleType:
    return script("benchmarks/training_step.py")


def test_plain_and_ours_have_the_same_losses(steps: ModuleType, tmp_path: Path) -> None:
    """`main` raises where they differ; the second step shows that weights moved alike."""
    before = signal.getsignal(signal.SIGINT)
    steps.main(tmp_path, "mini", "bfloat16", repeats=1, width=4, **SMALL)
    found = json.loads((tmp_path / "training_step.json").read_text())
    assert list(found["systems"]) == SYSTEMS
    assert found["setting"]["crop"] == 32
    for row in found["systems"].values():
        assert row["loss difference 1"] < 1e-5
        assert row["loss difference 2"] < 1e-3
        assert row["parameters"] > 10_000
        for precision in ("float32", "bfloat16"):
            assert row[f"{precision}/plain"] == pytest.approx(row[precision] / row["plain"])
    assert signal.getsignal(signal.SIGINT) is before, "every training has given Ctrl-C back"


def test_another_formula_is_noticed(steps: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, overrides = steps.FORMULAS["adain"], {**steps.block("adain", "mini", 4), **SMALL}
    monkeypatch.setitem(steps.FORMULAS, "adain", lambda own, batch: 1.01 * formula(own, batch))
    with pytest.raises(ValueError, match="adain: plain is not the same formula"):
        steps.compare(overrides, ["float32"], 1)


def test_another_optimiser_is_noticed(steps: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the loss of the second step."""
    overrides = {**steps.block("ghiasi", "mini", 4), **SMALL, "lr": 1e-2}
    monkeypatch.setattr(steps, "Adam", lambda weights, lr: torch.optim.SGD(weights, lr=lr))
    with pytest.raises(ValueError, match="ghiasi: plain is not the same formula"):
        steps.compare(overrides, ["float32"], 1)


def test_style_positions_are_those_ours_draws(steps: ModuleType) -> None:
    """AdaAttN with fewer positions than the painting has, at two layers."""
    overrides = {**steps.block("adaattn", "mini", 4), **SMALL, "max_sample": 20}
    assert steps.compare(overrides, ["float32"], 1)["loss difference 1"] < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own figures")
def test_memory_of_attention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map is there with its softmax; moments stay below one map. 9216² numbers are 324 MiB."""
    memory = script("benchmarks/attention_memory.py")
    monkeypatch.setattr(memory, "BACKWARD", (True,))
    memory.main(tmp_path, sides=[96], width=8, key_width=16, repeats=1)
    rows: list[dict[str, Any]] = json.loads((tmp_path / "attention_memory.json").read_text())[
        "rows"
    ]
    extra = {row["way"]: row["extra_gib"] for row in rows}
    one_map = 9216**2 * 4 / 2**30
    assert extra["map"] > 2 * one_map
    assert extra["moments"] < one_map


def test_sums_that_differ_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = script("benchmarks/attention_memory.py")
    totals = {"moments": 1.0, "map": 1.1}
    monkeypatch.setattr(memory, "measured", lambda way, **_: {"total": totals[way]})
    with pytest.raises(ValueError, match="sums"):
        memory.main(tmp_path, sides=[4], width=4, key_width=4, repeats=1)


def test_the_whole_map_is_the_formula() -> None:
    """Against a loop over the queries."""
    memory = script("benchmarks/attention_memory.py")
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 6, n, generator=generator) for n in (5, 5, 3))
    mean, std = memory.whole_map(query, key, value)

    def moments(one: Tensor) -> tuple[Tensor, Tensor]:
        share = (key[0] @ one).softmax(0)
        middle = share @ value[0]
        return middle, (share @ (value[0] - middle).square() + 1e-6).sqrt()

    for n, one in enumerate(query[0]):
        torch.testing.assert_close((mean[0, n], std[0, n]), moments(one), rtol=1e-4, atol=1e-4)
