"""The core of the suite on an NVIDIA GPU: the same steps as on a CPU, exact resume, no waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from atelier.core.batches import Batches
from atelier.core.precision import resolved
from atelier.engine.loop import Trainer
from atelier.nn.attention import attention_moments
from support import contract
from support.contract import NAMES, TRAINED
from support.pictures import save
from support.steps import smooth
from support.tensors import equal, normal, weights

GPUS = torch.cuda.device_count()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not GPUS, reason="needs an NVIDIA GPU")]
STEPS = 3


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No rounding to TensorFloat-32, and algorithms that give the same bits in every run."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before, convolutions.fp32_precision = convolutions.fp32_precision, "ieee"
    yield
    convolutions.fp32_precision = before


def training(name: str, folder: Path, device: str, **overrides: Any) -> Trainer:
    """A short training of an entry on a device, with weights drawn on the CPU."""
    method = contract.build_trained(name, 3, device=device, steps=STEPS, **overrides)
    paths = [save(folder / "pictures" / f"{n}.png", n) for n in range(6)]
    styles = method.training_styles(paths[4:])
    batches = Batches(paths[:4], styles, method.plan(), method.seed)
    return Trainer(method, batches, folder / "states")


def finished(one: Trainer) -> Trainer:
    for _ in one.run():
        pass
    return one


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_is_that_of_the_cpu(name: str, tmp_path: Path) -> None:
    here = finished(training(name, tmp_path / "cpu", "cpu", log_every=1, lr=1e-5))
    there = finished(training(name, tmp_path / "gpu", "cuda", log_every=1, lr=1e-5))
    for key, values in here.history.items():
        assert there.history[key] == pytest.approx(values, rel=1e-2, abs=1e-4), key


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_that_of_the_cpu(name: str) -> None:
    content, style = smooth(2, 40, 44), smooth(2, 50, 36, seed=1)
    made = [
        contract.build(name, 3, device=device).stylize(content, style).cpu()
        for device in ("cpu", "cuda")
    ]
    assert (made[0] - made[1]).abs().mean() < 4 / 255


@pytest.mark.parametrize("precision", ["float32", "auto", "float16"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_resumed_training_is_the_uninterrupted_one(
    name: str, precision: str, tmp_path: Path
) -> None:
    """Some operations on GPUs add in any order: equal but for rounding."""
    whole = finished(training(name, tmp_path / "whole", "cuda", precision=precision))
    first = training(name, tmp_path / "parts", "cuda", precision=precision)
    next(result for result in first.run() if result.step == 2)
    first.save()
    second = training(name, tmp_path / "parts", "cuda", precision=precision)
    assert second.step == 2
    assert equal(weights(first.method.networks), weights(second.method.networks))
    finished(second)
    found, expected = weights(second.method.networks), weights(whole.method.networks)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_between_two_points_waits_for_nothing(name: str, tmp_path: Path) -> None:
    one = training(name, tmp_path, "cuda", log_every=STEPS)
    steps = one.run()
    next(steps)  # networks are loaded and calibrated in the first step
    try:
        torch.cuda.set_sync_debug_mode("error")
        next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("width", [192, 448, 1472])
def test_attention_needs_no_full_map(width: int) -> None:
    query, value = normal(1, 16384, width).cuda(), normal(1, 16384, 64).cuda()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    attention_moments(query, query, value)
    widened = 4 * 4 * query.numel() * 4  # query, key, value and result, with room for copies
    assert torch.cuda.max_memory_allocated() - before < widened < 4 * 16384**2


def test_auto_is_bfloat16_from_ampere_on() -> None:
    major = torch.cuda.get_device_capability()[0]
    assert resolved("auto", "cuda") == ("bfloat16" if major >= 8 else "float32")


CHILD = """
import os, sys
from pathlib import Path
import torch
from atelier.engine.distributed import own_device, process_group
sys.path.insert(0, os.environ["TESTS"])
from support.tensors import weights
from engine.test_gpu import finished, training
from atelier.engine.loop import Trainer
folder = Path(sys.argv[1])
with process_group("cuda") as group:
    one = training("adain", folder / str(group.rank), own_device("cuda"))
    one = finished(Trainer(one.method, one.batches, folder / "states", group))
    torch.save(weights(one.method.networks), folder / f"{group.rank}.pt")
"""


@pytest.mark.slow
@pytest.mark.skipif(GPUS < 2, reason="needs two NVIDIA GPUs")
def test_two_processes_train_the_same_weights(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    (tmp_path / "child.py").write_text(CHILD)
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(tmp_path / "child.py"), str(tmp_path)],
        check=True, timeout=600, env={**os.environ, "PYTHONPATH": path, "TESTS": tests},
    )  # fmt: skip
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert equal(first, second)
