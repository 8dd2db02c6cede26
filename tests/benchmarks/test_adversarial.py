"""The benchmark of adversarial training steps runs, with tiny sizes; times are not looked at."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from support.scripts import ROOT, script

pytestmark = pytest.mark.slow

SYSTEMS = ["cyclegan", "ugatit", "cut"]
SMALL = {"width": 8, "crop": 64}
Change = Callable[[Any], Any]
Compare = Callable[..., dict[str, float]]


@pytest.fixture(scope="module")
def steps() -> Iterator[ModuleType]:
    """It imports its neighbour, as a script does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield script("benchmarks/adversarial_step.py")


@pytest.fixture(scope="module")
def compare() -> Any:
    return script("benchmarks/training_step.py").compare


@pytest.fixture(scope="module")
def found(steps: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """``main`` raises where plain and ours differ."""
    out, before = tmp_path_factory.mktemp("benchmark"), signal.getsignal(signal.SIGINT)
    steps.main(out, **SMALL, batch=1, repeats=1, precision="bfloat16")
    assert signal.getsignal(signal.SIGINT) is before, "every training has given Ctrl-C back"
    read: dict[str, Any] = json.loads((out / "adversarial_step.json").read_text())
    return read


@pytest.mark.slow
def test_plain_and_ours_have_the_same_losses(found: dict[str, Any]) -> None:
    """The second step's limit, ``main``'s own, shows that weights moved alike."""
    assert list(found["systems"]) == SYSTEMS
    for row in found["systems"].values():
        assert row["loss difference 1"] < 1e-5
        assert row["loss difference 2"] < 1e-2


def test_the_report_says_what_was_measured(found: dict[str, Any]) -> None:
    threads = torch.get_num_threads()
    assert found["setting"] == {**SMALL, "batch": 1, "threads": threads}
    for row in found["systems"].values():
        assert row["parameters"] > 100_000
        for precision in ("float32", "bfloat16"):
            assert row[f"{precision}/plain"] == pytest.approx(row[precision] / row["plain"])


@pytest.mark.parametrize("name", SYSTEMS)
def test_pictures_of_a_batch_are_told_apart_alike(
    steps: ModuleType, compare: Compare, name: str
) -> None:
    row = compare({**steps.block(name, **SMALL), "batch": 2}, ["float32"], 0, steps.Plain)
    assert row["loss difference 1"] < 1e-5


CHANGES: list[tuple[str, str, Change]] = [
    ("cyclegan", "halved", lambda halved: lambda *a: 2 * halved(*a)),
    ("cyclegan", "aimed", lambda aimed: lambda *a: 1.01 * aimed(*a)),
    (
        "ugatit",
        "told_apart",
        lambda told: lambda own, name, *images: told(own, name, *images[::-1]),
    ),
    ("ugatit", "normed", lambda normed: lambda *a: normed(a[0], (2, 3))),
    ("cut", "patch_nce", lambda nce: lambda *a: nce(*a[:3], 2 * a[3])),
]


@pytest.mark.parametrize(("name", "part", "change"), CHANGES)
def test_another_formula_is_noticed(
    steps: ModuleType,
    compare: Compare,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    part: str,
    change: Change,
) -> None:
    monkeypatch.setattr(steps, part, change(getattr(steps, part)))
    with pytest.raises(ValueError, match=f"{name}: plain is not the same formula"):
        compare(steps.block(name, **SMALL), ["float32"], 0, steps.Plain)


def test_another_optimiser_is_noticed(
    steps: ModuleType, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the losses of the second step."""

    def sgd(weights: list[Any], lr: float, **_: Any) -> torch.optim.SGD:
        return torch.optim.SGD(weights, lr=lr)

    monkeypatch.setattr(steps, "Adam", sgd)
    with pytest.raises(ValueError, match="cyclegan: plain is not the same formula"):
        compare(steps.block("cyclegan", **SMALL), ["float32"], 1, steps.Plain)


def test_the_global_discriminator_is_as_deep_as_the_crop_allows(steps: ModuleType) -> None:
    depths = [steps.block("ugatit", 8, crop)["global_layers"] for crop in (64, 96, 256)]
    assert depths == [6, 7, 7]
