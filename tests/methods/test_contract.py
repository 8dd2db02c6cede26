"""The contract of ``methods/base.py`` and ``trained.py``, kept by every entry of ``params.yaml``.

What is special to a system (formulas, sizes, variants no entry uses) is tested in its own file.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

import pytest
import torch
from torch import Tensor

from atelier.core.checkpoints import save_weights
from atelier.core.config import UserError
from atelier.methods.base import Kind
from atelier.methods.trained import WEIGHTS, restore
from atelier.methods.warm_start import warm_up
from support import contract, steps
from support.contract import CLASSES, NAMES, OPTIONAL, TRAINED, build, build_trained
from support.steps import smooth, twins
from support.tensors import count, equal, weights

Test = TypeVar("Test")
every_entry = pytest.mark.parametrize("name", NAMES)
every_training = pytest.mark.parametrize("name", TRAINED)
constant = pytest.mark.parametrize("which", ["content", "style", "both"])
LINES_OF_OTHERS = (pytest.mark.slow, pytest.mark.no_cover)
"""Watched, it takes half as long again, and other tests of the same entry run the same lines."""
LARGEST_LIMIT = 32
"""In pixels: a system may refuse pictures with a shorter side, but none of this side."""


def lines_of_others(test: Test) -> Test:
    """Mark a test by ``LINES_OF_OTHERS``."""
    for mark in LINES_OF_OTHERS:
        test = mark(test)
    return test


pair = partial(steps.pair, side=32, value=0.5)


def is_picture(image: Tensor) -> bool:
    """Whether all numbers are in [0, 1]; NaN is not."""
    return bool(((image >= 0) & (image <= 1)).all())


def test_every_system_in_the_folder_has_an_entry_or_is_optional() -> None:
    folder = Path(contract.ROOT / "src/atelier/methods")
    systems = {p.stem for p in folder.glob("*.py") if "\nMETHOD = " in p.read_text()}
    entries = {found.__module__.rpartition(".")[2] for found in CLASSES.values()}
    assert systems == entries | {*OPTIONAL}
    assert not entries & {*OPTIONAL}


@every_entry
def test_the_card_says_what_must_stand_beside_every_number(name: str) -> None:
    method = build(name)
    card = method.card()
    assert card["kind"] in get_args(Kind)
    assert json.loads(json.dumps(card)) == card
    assert card.items() <= method.training_card().items()
    for setting in method.encoders:
        if getattr(method, setting, None) is not None:
            assert card[setting] == "mini"
            assert re.fullmatch("[0-9a-f]{12}", card[f"{setting}_hash"])


@every_training
def test_the_card_counts_what_is_trained(name: str) -> None:
    method = build_trained(name)
    assert method.card()["parameters_trained"] == count(method.networks)


@every_training
def test_two_steps_have_finite_losses_and_move_every_network(name: str, tmp_path: Path) -> None:
    method = build_trained(name, steps=2, log_every=1)
    before = weights(method.networks)
    one = contract.trainer(method, tmp_path)
    assert [result.step for result in one.run()] == [1, 2]
    assert len(one.history) > 1
    assert all(len(values) == 2 for values in one.history.values())
    assert all(torch.tensor(values).isfinite().all() for values in one.history.values())
    after = weights(method.networks)
    assert all(value.isfinite().all() for value in after.values())
    for network in method.networks:
        own = [key for key in after if key.startswith(f"{network}.")]
        assert any(not torch.equal(before[key], after[key]) for key in own), network


@every_training
@pytest.mark.parametrize("stop", [1, pytest.param(2, marks=LINES_OF_OTHERS)])
def test_a_resumed_training_equals_an_uninterrupted_one(
    name: str, stop: int, tmp_path: Path
) -> None:
    """Bit for bit, stopped inside an interval of the curves, image pools filling or full."""
    whole = contract.trainer(build_trained(name), tmp_path / "whole")
    list(whole.run())
    first = contract.trainer(build_trained(name), tmp_path / "parts")
    next(result for result in first.run() if result.step == stop)
    first.save()
    torch.rand(7)  # somebody else draws from the global generator
    second = contract.trainer(build_trained(name), tmp_path / "parts")
    assert second.step == stop
    list(second.run())
    assert equal(weights(whole.method.networks), weights(second.method.networks))
    assert equal(whole.final_weights(), second.final_weights())
    assert equal(whole.method.extra_state(), second.method.extra_state())
    assert whole.history == second.history
    assert set(whole.final_weights()) == set(whole.method.inference_networks.state_dict())


@every_training
@lines_of_others
def test_the_seed_decides_weights_and_losses(name: str, tmp_path: Path) -> None:
    """And not the global generator, which is left as it was."""
    one, other = twins(lambda: build_trained(name, 3))
    before = torch.get_rng_state()
    first, second = (contract.losses(m, contract.batch_of(m, *pair())) for m in (one, other))
    one.stylize(*pair())
    assert torch.equal(before, torch.get_rng_state())
    assert equal(first, second)
    assert equal(weights(one.networks), weights(other.networks))
    assert not equal(weights(one.networks), weights(build_trained(name, 4).networks))


@every_training
def test_the_final_weights_are_all_it_takes_to_stylise(name: str, tmp_path: Path) -> None:
    one, other = build_trained(name, 1), build_trained(name, 2)
    save_weights(one.inference_networks.state_dict(), tmp_path / WEIGHTS)
    restore(other, tmp_path)
    other.seed = one.seed  # positions in use are drawn by it
    assert torch.equal(one.stylize(*pair()), other.stylize(*pair()))


@every_training
@pytest.mark.usefixtures("root_here")
def test_a_warm_start_takes_the_weights_of_another_training(name: str, tmp_path: Path) -> None:
    one = contract.trainer(build_trained(name, 1), tmp_path)
    next(iter(one.run()))
    one.save()
    (path,) = (tmp_path / "states").glob("step-*.pt")
    warm = build_trained(name, 2, warm_start=str(path))
    warm_up(warm)
    assert equal(weights(warm.networks), weights(one.method.networks))


@every_training
@constant
@lines_of_others
def test_pictures_of_one_colour_have_finite_losses_and_gradients(name: str, which: str) -> None:
    method = build_trained(name)
    found = contract.losses(method, contract.batch_of(method, *pair(which)))
    assert all(value.isfinite() for part in found.values() for value in part.values())
    gradients = [weight.grad for weight in method.networks.parameters() if weight.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_entry
@constant
@lines_of_others
def test_pictures_of_one_colour_are_stylised(name: str, which: str) -> None:
    assert is_picture(build(name).stylize(*pair(which)))


@every_training
@lines_of_others
def test_losses_stay_in_float32_when_the_convolutions_do_not(name: str) -> None:
    exact, rough = build_trained(name), build_trained(name)
    expected = contract.losses(exact, contract.batch_of(exact, *pair()))
    with torch.autocast("cpu", torch.bfloat16):
        found = contract.losses(rough, contract.batch_of(rough, *pair()))
    assert not equal(found, expected), "nothing was computed in bfloat16"
    for part, losses in found.items():
        for key, value in losses.items():
            assert value.dtype == torch.float32
            assert value.item() == pytest.approx(expected[part][key].item(), rel=0.1, abs=1e-3), key


@every_entry
@pytest.mark.parametrize("size", [(33, 47), (50, 37), (64, 64), (9, 61)])
def test_a_picture_of_any_size_keeps_it(name: str, size: tuple[int, int]) -> None:
    method, content, style = build(name), smooth(2, *size), smooth(2, 41, 35, seed=1)
    try:
        iterates = list(method.iterates(content, style))
    except UserError as error:
        (limit,) = re.findall(r"needs (?:pictures of at least )?(\d+) px", str(error))
        assert min(size) < int(limit) <= LARGEST_LIMIT
        return
    assert [one.step for one in iterates] == list(range(1, method.steps(*size) + 1))
    assert {one.total for one in iterates} == {len(iterates)}
    assert iterates[-1].image.shape == content.shape
    assert is_picture(iterates[-1].image)


@every_training
@lines_of_others
def test_a_method_is_applied_in_bfloat16_to_nearly_the_same_picture(name: str) -> None:
    # as published, an untrained decoder of AdaIN paints black
    overrides = {"init": "he"} if CLASSES[name].__name__ == "AdaIN" else {}
    exact = build(name, 3, **overrides).stylize(*pair())
    found = build(name, 3, apply_precision="bfloat16", **overrides).stylize(*pair())
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact), "nothing was computed in bfloat16"
    assert (found - exact).abs().mean() < 0.02
    assert torch.is_autocast_enabled("cpu") is False


@every_entry
@lines_of_others
def test_a_picture_does_not_depend_on_its_neighbours(name: str) -> None:
    method, content, style = build(name), smooth(2, 40, 44), smooth(2, 50, 36, seed=1)
    together = method.stylize(content, style)
    for n in range(2):
        alone = method.stylize(content[n : n + 1], style[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone, rtol=0, atol=1e-3)


@every_entry
@lines_of_others
def test_two_runs_are_the_same_bit_for_bit(name: str) -> None:
    one, other = (build(name, 3).stylize(*pair()) for _ in range(2))
    assert torch.equal(one, other)


@every_entry
@lines_of_others
def test_an_iterate_leaves_the_callers_modes_alone(name: str) -> None:
    """Between two iterates the caller may take gradients, or go on with another picture's."""
    first, second = build(name, 3), build(name, 3)
    alone = [one.image for one in first.iterates(*pair())]
    runs = [method.iterates(*pair()) for method in (first, second)]
    for number, both in enumerate(zip(*runs, strict=True)):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")
        assert all(torch.equal(one.image, alone[number]) for one in both)


@every_entry
def test_extras_are_named_pictures_and_leave_the_networks_alone(name: str) -> None:
    method, content, style = build(name), smooth(2, 33, 47), smooth(2, 41, 35, seed=1)
    networks = getattr(method, "networks", torch.nn.Module())
    mode, before = networks.training, weights(networks)
    found = list(method.extras(["a", "b"], content, style))
    assert len({(one.title, one.row, one.column) for one in found}) == len(found)
    assert {one.row for one in found} in ({"a", "b"}, set())
    assert all(one.title and one.column for one in found)
    assert all(one.image.ndim == 3 and one.image.shape[0] == 3 for one in found)
    assert all(is_picture(one.image) and not one.image.requires_grad for one in found)
    flat = torch.full((1, 3, 33, 47), 0.5)
    assert all(is_picture(one.image) for one in method.extras(["a"], flat, flat))
    assert networks.training == mode
    assert equal(weights(networks), before)
