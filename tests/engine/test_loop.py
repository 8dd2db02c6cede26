"""The training loop: what it descends, averages, keeps, refuses and continues."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

from atelier.core.batches import Batch
from atelier.core.config import UserError
from atelier.engine.loop import StepResult, Trainer
from atelier.methods.trained import Losses
from support.tensors import equal, weights
from support.toy import Toy, toy, training


def finish(one: Trainer) -> list[StepResult]:
    return list(one.run())


def test_the_loss_falls_and_every_step_is_told(tmp_path: Path) -> None:
    ticks = finish(training(tmp_path, steps=60, log_every=10))
    assert [result.step for result in ticks] == list(range(1, 61))
    losses = [result.losses["total"] for result in ticks if result.losses]
    assert len(losses) == 6
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_continued_training_equals_an_uninterrupted_one(
    tmp_path: Path, ema: float, stop: int
) -> None:
    whole = training(tmp_path / "whole", ema=ema)
    finish(whole)
    first = training(tmp_path / "parts", ema=ema)
    for result in first.run():
        if result.step == stop:
            first.save()
            break
    torch.rand(7)  # somebody else draws from the global generator
    second = training(tmp_path / "parts", ema=ema)
    assert second.step == stop
    finish(second)
    assert equal(weights(whole.method.networks), weights(second.method.networks))
    assert equal(whole.final_weights(), second.final_weights())
    assert whole.history == second.history


def test_states_are_saved_on_the_way_and_two_are_kept(tmp_path: Path) -> None:
    one = training(tmp_path, steps=8, save_minutes=0)
    finish(one)
    names = sorted(path.name for path in (tmp_path / "states").iterdir())
    assert names == ["step-00000006.pt", "step-00000007.pt"]


def extended(folder: Path, steps: int, **overrides: Any) -> Trainer:
    """A training of 4 steps that is finished, and one of ``steps`` that begins with its state."""
    first = training(folder, steps=4, **overrides)
    finish(first)
    first.save_final()
    return training(folder, steps=steps, **overrides)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_more_steps_continue_fewer_as_if_set_from_the_start(tmp_path: Path, ema: float) -> None:
    """The curves too: the last point of four steps, in intervals of three, is none of eight's."""
    whole = training(tmp_path / "whole", ema=ema)
    finish(whole)
    longer = extended(tmp_path / "parts", 8, ema=ema)
    assert longer.step == 4
    finish(longer)
    assert equal(weights(whole.method.networks), weights(longer.method.networks))
    assert equal(whole.final_weights(), longer.final_weights())
    assert whole.history == longer.history


def test_interrupted_after_the_last_step_the_curves_end_there(tmp_path: Path) -> None:
    one = training(tmp_path, steps=4)
    finish(one)
    one.save()
    again = training(tmp_path, steps=4)
    finish(again)
    assert again.history == one.history
    assert again.history["step"] == [3, 4]


@pytest.mark.parametrize("steps", [4, 3])
def test_as_many_steps_or_fewer_begin_anew(tmp_path: Path, steps: int) -> None:
    again = extended(tmp_path, steps)
    assert again.step == 0
    finish(again)
    assert len(list((tmp_path / "states").glob("final-00000004.pt"))) == 1


def test_intervals_of_the_curves_can_change_on_the_way(tmp_path: Path) -> None:
    fine = training(tmp_path / "a", log_every=1)
    finish(fine)
    first = training(tmp_path / "b", log_every=3)
    next(result for result in first.run() if result.step == 5)
    first.save()
    second = training(tmp_path / "b", log_every=4)
    finish(second)
    each = fine.history["total"]
    assert second.history["step"] == [3, 8]
    parts = (each[:3], each[3:8])
    assert second.history["total"] == pytest.approx([sum(p) / len(p) for p in parts])


class Falling(Toy):
    """Its rate falls over its second half."""

    def lr_factor(self, step: int) -> float:
        return min(1.0, 2 - 2 * step / self.settings.steps)


@pytest.mark.parametrize(("done", "goes_on"), [(4, True), (6, False)])
def test_a_schedule_over_all_steps_continues_where_it_is_still_the_same(
    tmp_path: Path, done: int, goes_on: bool, caplog: pytest.LogCaptureFixture
) -> None:
    method, batches = toy(tmp_path, Falling, steps=8)
    first = Trainer(method, batches, tmp_path / "states")
    next(result for result in first.run() if result.step == done)
    first.save()
    longer = Trainer(*toy(tmp_path, Falling, steps=16), tmp_path / "states")
    assert longer.step == (done if goes_on else 0)
    why = "8 steps have other learning rates than 16, from step 6 on"
    assert (why in caplog.text) == (not goes_on)


def test_states_are_saved_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the end of the last: saving slowly does not mean saving all the time."""
    now = 0.0
    monkeypatch.setattr("atelier.engine.loop.time", SimpleNamespace(monotonic=lambda: now))
    one, steps = training(tmp_path, steps=8, save_minutes=2.5), []
    save = one.save

    def slow() -> None:
        nonlocal now
        save()
        now += 40
        steps.append(one.step)

    monkeypatch.setattr(one, "save", slow)
    for _ in one.run():
        now += 60
    assert steps == [3, 6], "each a step of 60 s after 150 s"


def test_an_unreadable_state_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finish(training(tmp_path, save_minutes=0))
    (tmp_path / "states/step-00000007.pt").write_bytes(b"torn")
    again = training(tmp_path, save_minutes=0)
    assert again.step == 6
    assert "step-00000007.pt: cannot be read" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"networks": {"w": torch.zeros(1)}},
        {"optimizers": {}},
        {"step": 99},
        {"step": "7"},
        {"history": {}},
        {"average": {}},
        {"extra": []},
    ],
)
def test_a_readable_but_wrong_state_falls_back_to_the_one_before(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    finish(training(tmp_path, save_minutes=0, ema=0.9))
    path = tmp_path / "states/step-00000007.pt"
    torch.save({**torch.load(path), **change}, path)
    again = training(tmp_path, save_minutes=0, ema=0.9)
    assert again.step == 6
    whole = training(tmp_path / "whole", ema=0.9)
    finish(whole)
    finish(again)
    assert equal(weights(whole.method.networks), weights(again.method.networks))


def test_points_of_the_curves_are_means_over_their_interval(tmp_path: Path) -> None:
    fine, coarse = training(tmp_path / "a", log_every=1), training(tmp_path / "b", log_every=3)
    finish(fine)
    finish(coarse)
    each = fine.history["total"]
    assert coarse.history["step"] == [3, 6, 8]
    parts = (each[:3], each[3:6], each[6:])
    assert coarse.history["total"] == pytest.approx([sum(p) / len(p) for p in parts])


def test_the_average_of_the_weights(tmp_path: Path) -> None:
    one = training(tmp_path, ema=0.75)
    kept = [weights(one.method.networks) for _ in one.run()]
    expected = kept[0]  # the first update copies
    for state in kept[1:]:
        expected = {k: 0.75 * expected[k] + 0.25 * state[k] for k in state}
    for key, value in one.final_weights().items():
        torch.testing.assert_close(value, expected[key])
    before = weights(one.method.networks)
    with one.swap_ema_weights():
        assert equal(weights(one.method.networks), one.final_weights())
        assert not equal(weights(one.method.networks), before)
    assert equal(weights(one.method.networks), before)


class Broken(Toy):
    """Not finite at its third step, in the loss or in the gradient alone."""

    what = "loss"

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        for name, losses in super().training_losses(batch):
            total = losses["total"]
            if batch.step == 2:
                zero = total - total.detach()
                total = total / 0 if self.what == "loss" else zero.abs().sqrt() + total
            yield name, {**losses, "total": total}


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_before_the_weights_are_touched(tmp_path: Path, what: str) -> None:
    method, batches = toy(tmp_path / "pictures", save_minutes=0)
    method.__class__ = Broken
    method.what = what  # type: ignore[attr-defined]
    one = Trainer(method, batches, tmp_path / "states")
    with pytest.raises(UserError, match=rf"step 3: the {what}.* is not finite.*\d\.png"):
        finish(one)
    assert all(bool(value.isfinite().all()) for value in weights(one.method.networks).values())
    assert training(tmp_path).step == 2, "the state before it is there"


def broken(root: Path, **overrides: Any) -> Trainer:
    """A training not finite at step 3, whose values wait on the device as on a GPU."""
    method, batches = toy(root / "pictures", Broken, **overrides)
    one = Trainer(method, batches, root / "states")
    one.guard.defers = True
    return one


@pytest.mark.parametrize(
    ("overrides", "seen"),
    [
        ({"log_every": 5, "snapshots": 0}, [1, 2, 3, 4]),  # at a point of the curves
        ({"log_every": 8, "snapshots": 2}, [1, 2, 3]),  # before a picture is drawn
        ({"log_every": 8, "snapshots": 0}, [1, 2, 3, 4, 5, 6, 7]),  # at the end
        ({"log_every": 8, "snapshots": 0, "save_minutes": 0}, [1, 2, 3]),  # before it is saved
    ],
)
def test_where_values_wait_on_the_device_they_are_refused_before_they_matter(
    tmp_path: Path, overrides: dict[str, Any], seen: list[int]
) -> None:
    told: list[int] = []
    with pytest.raises(UserError, match=r"step 3: the loss 'total' is not finite.*\d\.png"):
        told.extend(result.step for result in broken(tmp_path, **overrides).run())
    saved = "save_minutes" in overrides
    assert training(tmp_path).step == (2 if saved else 0), "the last good state is there"


def test_waiting_changes_nothing_and_reads_at_the_points_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides: dict[str, Any] = {"ema": 0.9, "clip_norm": 0.1, "accumulate": 2}
    whole = training(tmp_path / "a", **overrides)
    finish(whole)
    one = training(tmp_path / "b", **overrides)
    one.guard.defers = True
    reads: list[int] = []
    for name in ("item", "tolist", "__float__", "__int__"):
        method = getattr(torch.Tensor, name)

        def counted(self: torch.Tensor, method: Any = method) -> Any:
            if one.step and self.is_floating_point() | (self.dtype == torch.bool):
                reads.append(one.step)
            return method(self)

        monkeypatch.setattr(torch.Tensor, name, counted)
    finish(one)
    assert set(reads) == {3, 4, 6, 8}, "points, and a snapshot after step 4"
    assert one.history == whole.history
    assert equal(weights(whole.method.networks), weights(one.method.networks))
    assert equal(whole.final_weights(), one.final_weights())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_step_saves_and_continues(
    tmp_path: Path, number: signal.Signals
) -> None:
    whole, one = training(tmp_path / "whole"), training(tmp_path / "parts")
    finish(whole)
    before, ticks = signal.getsignal(number), one.run()
    for _ in range(3):
        next(ticks)
    os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        next(ticks)
    assert signal.getsignal(number) is before
    again = training(tmp_path / "parts")
    assert again.step == 3, "between two steps: no further one is done"
    finish(again)
    assert equal(weights(whole.method.networks), weights(again.method.networks))


def test_the_norm_of_the_gradient_is_limited(tmp_path: Path) -> None:
    class Plain(Toy):
        def optimizers(self) -> dict[str, Any]:
            return {"main": SGD(self.networks.parameters(), lr=1.0)}

    method, batches = toy(tmp_path, steps=1, clip_norm=1e-3)
    method.__class__ = Plain
    one = Trainer(method, batches, tmp_path / "states")
    before = weights(one.method.networks)
    finish(one)
    moved = torch.cat([(v - before[k]).flatten() for k, v in weights(one.method.networks).items()])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_the_schedule_scales_every_learning_rate(tmp_path: Path) -> None:
    class Scheduled(Toy):
        def optimizers(self) -> dict[str, Any]:
            return {"main": SGD(self.networks.parameters(), lr=0.5)}

        def lr_factor(self, step: int) -> float:
            return 0.5**step

    method, batches = toy(tmp_path, steps=4, save_minutes=0)
    method.__class__ = Scheduled
    one = Trainer(method, batches, tmp_path / "states")
    rates = [one.optimizers["main"].param_groups[0]["lr"] for _ in one.run()]
    assert rates == [0.5, 0.25, 0.125, 0.0625]
    again = Trainer(method, batches, tmp_path / "states")
    assert [again.optimizers["main"].param_groups[0]["lr"] for _ in again.run()] == rates[3:]


def test_bfloat16_is_for_the_convolutions_alone(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []

    class Watched(Toy):
        def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
            seen.append(self.networks["net"](batch.content).dtype)
            yield from super().training_losses(batch)

    method, batches = toy(tmp_path, steps=1, precision="bfloat16")
    method.__class__ = Watched
    finish(Trainer(method, batches, tmp_path / "states"))
    assert seen == [torch.bfloat16]
    assert all(p.dtype == torch.float32 for p in method.networks.parameters())


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_reduced_precision_trains_about_as_float32_and_resumes_bit_for_bit(
    tmp_path: Path, precision: str
) -> None:
    exact = training(tmp_path / "exact")
    finish(exact)
    whole = training(tmp_path / "whole", precision=precision)
    finish(whole)
    assert whole.history["total"] == pytest.approx(exact.history["total"], rel=0.1)
    first = training(tmp_path / "parts", precision=precision)
    next(result for result in first.run() if result.step == 4)
    first.save()
    second = training(tmp_path / "parts", precision=precision)
    finish(second)
    assert equal(weights(whole.method.networks), weights(second.method.networks))
    assert whole.scalers["main"].state_dict() == second.scalers["main"].state_dict()


class Steep(Toy):
    """Its gradient overflows at its first two steps, or always; its loss never does."""

    first = 2

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        for name, losses in super().training_losses(batch):
            total = losses["total"]
            if batch.step < self.first:
                total = total + (total - total.detach()) * 1e36
            yield name, {**losses, "total": total}


def steep(folder: Path, first: int) -> Trainer:
    method, batches = toy(folder, precision="float16", steps=40, log_every=40)
    method.__class__ = Steep
    method.first = first  # type: ignore[attr-defined]
    return Trainer(method, batches, folder / "states")


def test_in_float16_an_update_that_overflows_is_left_out(tmp_path: Path) -> None:
    one = steep(tmp_path, 2)
    before = weights(one.method.networks)
    changed, scale = [], one.scalers["main"].get_scale()
    for result in one.run():
        changed.append(not equal(before, weights(one.method.networks)))
        if result.step == 2:
            assert one.scalers["main"].get_scale() == scale / 4
    assert changed[:3] == [False, False, True]


def test_in_float16_a_gradient_that_overflows_at_any_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"step 40: the gradient \(main\) is not finite in float16"):
        finish(steep(tmp_path, 40))


def test_two_optimisers_take_turns_and_their_curves_bear_their_names(tmp_path: Path) -> None:
    class Rivals(Toy):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.networks["rival"] = nn.Conv2d(3, 1, 1)

        def optimizers(self) -> dict[str, Any]:
            return {name: SGD(net.parameters(), lr=0.1) for name, net in self.networks.items()}

        def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
            before = self.networks["net"][0].weight.clone()
            yield "net", {"total": self.networks["net"](batch.content).square().mean()}
            assert not torch.equal(before, self.networks["net"][0].weight), "stepped already"
            yield "rival", {"total": self.networks["rival"](batch.content).square().mean()}

    plain, batches = toy(tmp_path, steps=3)
    one = Trainer(Rivals(plain.settings, 3), batches, tmp_path / "states")
    finish(one)
    assert set(one.history) == {"step", "net", "rival"}


def test_networks_are_compiled_where_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: asked.append(self))  # noqa: PLW0108 - bound
    monkeypatch.setenv("CXX", sys.executable)  # any program
    method, batches = toy(tmp_path, steps=1, compile=True)
    inner = method.networks["net"]
    method.networks = nn.ModuleDict({"both": nn.ModuleDict({"net": inner})})
    Trainer(method, batches, tmp_path / "states")
    assert asked == [inner]
    plain, batches = toy(tmp_path, steps=1)
    Trainer(plain, batches, tmp_path / "states")
    assert asked == [inner]


def test_compiling_for_a_cpu_needs_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    method, batches = toy(tmp_path, steps=1, compile=True)
    with pytest.raises(
        UserError, match=r"^compile: true needs .* no-such-compiler is not installed"
    ):
        Trainer(method, batches, tmp_path / "states")
