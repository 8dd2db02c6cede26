"""Optimisation-based transfer: what it computes, per picture, at every size of its pyramid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from atelier.core.config import Params, UserError
from atelier.methods import gatys
from atelier.methods.base import make
from atelier.methods.gatys import Average, Canvas, Gatys
from atelier.nn.lbfgs import GuardedLBFGS
from atelier.nn.picture_batches import SMALLEST
from atelier.nn.pretrained.features import Features
from support import steps
from support.nets import quick_random, random_features
from support.optimisation import LAYERS, check_gradients, run, small, total
from support.steps import check_layer_weights

PARAMS = Path(__file__).parents[2] / "params.yaml"
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "lr": 0.02, "variable": "pixel"},
    "lbfgs": {"optimizer": "lbfgs", "lr": 1.0, "style_weight": 1e3},
}


class Counted(Features):
    """Features that count how often they are asked."""

    def __init__(self, inner: Features) -> None:
        super().__init__(inner.name, inner.network, inner.hash, inner.layers)
        self.calls = 0

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        return super().forward(image)


def system(seed: int = 0, features: Features | None = None, **overrides: Any) -> Gatys:
    return small(Gatys, seed, features, **overrides)


def smooth(batch: int, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    return steps.smooth(batch, height, width, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_falls(name: str) -> None:
    found = run(system(steps=12, **OPTIMIZERS[name]), smooth(2, 48, 64), smooth(2, 40, 36, seed=1))
    assert (total(found[-1]) < 0.7 * total(found[0])).all()


def test_losses_and_gradients_of_a_batch_are_those_of_its_pictures() -> None:
    content, style = smooth(3), smooth(3, seed=1)
    settings = system(tv_weight=1e-3).settings
    net = random_features(*LAYERS, unit_activations=True)
    check_gradients(
        lambda which: gatys.Objective(settings, net, content[which], style[which]),
        smooth(3, seed=2),
        tolerance=1e-5,
    )


def test_the_total_is_the_weighted_sum() -> None:
    weights = {"content_weight": 2.0, "style_weight": 3.0, "tv_weight": 0.01}
    (first,) = run(system(steps=1, **weights, init="noise"), smooth(2), smooth(2, seed=1))
    parts = first.losses
    expected = 2 * parts["content"] + 3 * parts["style"] + 0.01 * parts["tv"]
    torch.testing.assert_close(parts["total"], expected)
    assert (parts["content"] > 0).all()


def test_style_layer_weights_weigh_their_layer() -> None:
    def style(weights: list[float]) -> Tensor:
        method = system(steps=1, style_layer_weights=weights)
        return run(method, smooth(1), smooth(1, seed=1))[0].losses["style"]

    check_layer_weights(style)


def test_content_start_has_no_content_loss_and_the_own_style_no_style_loss() -> None:
    first = run(system(steps=1), smooth(1), smooth(1))[0].losses
    assert first["content"].item() == pytest.approx(0, abs=1e-10)
    assert first["style"].item() == pytest.approx(0, abs=1e-10)


def test_an_lbfgs_step_is_one_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[GuardedLBFGS] = []

    class Kept(GuardedLBFGS):
        def __init__(self, *args: Any, **overrides: Any) -> None:
            super().__init__(*args, **overrides)
            made.append(self)

    monkeypatch.setattr(gatys, "GuardedLBFGS", Kept)
    method = system(steps=5, **OPTIMIZERS["lbfgs"])
    assert len(run(method, smooth(2), smooth(2, seed=1))) == 5
    assert len(made) == 2, "one per picture"
    for optimizer in made:
        (state,) = optimizer.state.values()
        assert state["func_evals"] == state["n_iter"] == 4  # the fifth is judged, not left


def test_targets_are_computed_once_per_size() -> None:
    features = Counted(random_features(*LAYERS, unit_activations=True))
    method = system(features=features, steps=4, refine_steps=3, smallest_size=45)
    run(method, smooth(1, 64, 64), smooth(1, seed=1))
    assert features.calls == (2 + 4) + (2 + 3)


@pytest.mark.parametrize(
    ("unit", "step"), [("pixel", 1.0), ("byte", 1 / 255), ("normalised", (0.229, 0.224, 0.225))]
)
def test_adams_first_step_is_the_learning_rate_in_the_variables_unit(
    unit: str, step: float | tuple[float, ...]
) -> None:
    content = smooth(1) * 0.5 + 0.25
    method = system(steps=1, optimizer="adam", lr=0.01, variable=unit)
    moved = (run(method, content, smooth(1, seed=1))[0].image - content).abs()[0]
    largest = moved.flatten(1).max(1).values
    expected = torch.tensor(step) * 0.01 * torch.ones(3)
    torch.testing.assert_close(largest, expected, rtol=1e-3, atol=1e-6)


def test_the_learning_rate_falls_to_a_tenth() -> None:
    method, seen = system(steps=3, optimizer="adam", lr=0.5, lr_decay=True), []
    optimizers = method._optimizers(Canvas(smooth(1), "pixel"), None)
    for step in range(3):
        method._set_lr(optimizers, step, 3)
        seen.append(optimizers[0].param_groups[0]["lr"])
    assert seen == pytest.approx([0.5, 0.275, 0.05])


@pytest.mark.parametrize("unit", ["pixel", "byte", "normalised"])
def test_a_canvas_gives_back_its_pictures_and_clamps_to_the_range(unit: str) -> None:
    image = smooth(2)
    canvas = Canvas(image, unit)
    torch.testing.assert_close(canvas.image().detach(), image)
    with torch.no_grad():
        canvas.leaves[0].add_(1000)
        canvas.leaves[1].sub_(1000)
    canvas.clamp()
    expected = torch.stack([torch.ones(3, 32, 32), torch.zeros(3, 32, 32)])
    torch.testing.assert_close(canvas.image().detach(), expected, rtol=0, atol=1e-6)


def test_the_average_is_bias_corrected() -> None:
    images = [smooth(1, seed=n) for n in range(4)]
    average = Average(0.9)
    for image in images:
        found = average.update(image)
    weights = torch.tensor([0.9 ** (3 - n) for n in range(4)])
    expected = sum(w * i for w, i in zip(weights / weights.sum(), images, strict=True))
    torch.testing.assert_close(found, expected)
    last = Average(0.0)
    torch.testing.assert_close([last.update(i) for i in images][-1], images[-1], rtol=0, atol=0)


def test_the_pyramid_of_crowsonkb() -> None:
    method = system(smallest_size=128, steps=10, refine_steps=4)
    sides = [128, 181, 256, 362, 512]
    assert method._sizes(512, 512) == [(side, side) for side in sides]
    assert method._sizes(384, 512) == [(96, 128), (136, 181), (192, 256), (272, 362), (384, 512)]
    assert method.steps(512, 512) == 10 + 4 * 4
    assert system(steps=10)._sizes(512, 512) == [(512, 512)]
    assert system(steps=10, smallest_size=600).steps(512, 512) == 10


def test_a_long_picture_has_a_shorter_pyramid() -> None:
    assert min(map(min, system(smallest_size=64)._sizes(64, 512))) >= SMALLEST


def test_a_run_over_a_pyramid_has_the_steps_it_promises_and_grows() -> None:
    method = system(
        steps=3, refine_steps=2, smallest_size=32, ema=0.9, style_weight=10, **OPTIMIZERS["adam"]
    )
    found = run(method, smooth(2, 64, 48), smooth(2, 64, 64, seed=1))
    sizes = [tuple(it.image.shape[2:]) for it in found]
    assert sizes == [(45, 34)] * 3 + [(64, 48)] * 2
    assert len(found) == method.steps(64, 48)
    # a level begins with the average of the one before
    larger = gatys._resize(found[2].image, (64, 48))
    assert (found[3].image - larger).abs().max() <= 0.02 * 1.7 + 1e-5  # one warm step of Adam


def test_a_small_style_keeps_two_positions_in_the_deepest_layer() -> None:
    assert gatys._shrink(smooth(1, 64, 40), 0.25).shape[2:] == (51, 32)
    assert gatys._shrink(smooth(1, 64, 40), 0.9).shape[2:] == (58, 36)


def test_adams_moments_are_carried_to_the_next_size() -> None:
    method = system(**OPTIMIZERS["adam"])
    small, large = Canvas(smooth(2), "pixel"), Canvas(smooth(2, 48, 40), "pixel")
    (before,) = method._optimizers(small, None)
    for leaf in small.leaves:
        leaf.grad = torch.full_like(leaf, 0.5)
    before.step()
    (after,) = method._optimizers(large, [before])
    for leaf in large.leaves:
        state = after.state[leaf]
        assert state["exp_avg"].shape == state["exp_avg_sq"].shape == (3, 48, 40)
        assert state["step"] == 1
        torch.testing.assert_close(state["exp_avg"], torch.full((3, 48, 40), 0.05))
        torch.testing.assert_close(state["exp_avg_sq"], torch.full((3, 48, 40), 0.00025))
        assert (state["exp_avg_sq"] >= 0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss", ["gram", "gram_scaled", "wasserstein", "mean_std"])
def test_pictures_of_one_colour_stay_finite(name: str, loss: str) -> None:
    flat, other = torch.full((1, 3, 32, 32), 0.4), torch.full((1, 3, 32, 32), 0.8)
    method = system(steps=3, style_loss=loss, **OPTIMIZERS[name] | {"style_weight": 1.0})
    found = run(method, torch.cat([flat, flat]), torch.cat([flat, other]))
    assert all(it.image.isfinite().all() and total(it).isfinite().all() for it in found)


def test_a_loss_that_is_not_finite_names_the_picture() -> None:
    content = smooth(3)
    content[1, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=r"the loss of picture 1 of the batch is not finite at ste"):
        run(system(steps=2), content, smooth(3, seed=1))


@pytest.mark.parametrize("init", ["content", "noise", "grey"])
def test_starts(init: str) -> None:
    content = smooth(2)
    start = system(init=init)._start(content)
    assert start.shape == content.shape
    if init == "content":
        assert torch.equal(start, content)
        return
    assert torch.equal(start[0], start[1]), "no neighbour changes the noise"
    assert start.mean().item() == pytest.approx(0.5, abs=0.02)
    assert start.std().item() == pytest.approx(0.25 if init == "noise" else 0.00113, rel=0.1)
    assert torch.equal(start, system(init=init)._start(content))
    assert not torch.equal(start, system(seed=1, init=init)._start(content))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_runs_are_bit_identical(name: str) -> None:
    overrides = OPTIMIZERS[name] | {"init": "noise", "steps": 3, "smallest_size": 32}
    one, other = (
        system(**overrides).stylize(smooth(2, 48, 48), smooth(2, seed=1)) for _ in range(2)
    )
    assert torch.equal(one, other)


def test_bfloat16_keeps_the_losses_about_as_they_are() -> None:
    exact, rough = (
        run(system(steps=1, precision=p, init="noise"), smooth(1), smooth(1, seed=1))[0].losses
        for p in ("float32", "bfloat16")
    )
    assert rough["total"].dtype == torch.float32
    assert rough["total"].item() == pytest.approx(exact["total"].item(), rel=0.1)
    assert rough["total"] != exact["total"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"style_wieght": 1.0}, r"methods\.gatys\.style_wieght: no such setting; did you mean"),
        ({"lr": 0}, r"methods\.gatys\.lr: .*greater than 0 \(found 0\)"),
        ({"betas": [0.9, 1.0]}, r"methods\.gatys\.betas\.1: .*less than 1"),
        ({"style_layers": []}, r"methods\.gatys\.style_layers: .*at least 1 item"),
        ({"style_loss": "grams"}, r"methods\.gatys\.style_loss: .*'gram'.*found 'grams'"),
        ({"smallest_size": 16}, r"methods\.gatys\.smallest_size: .*greater than or equal to 32"),
        ({"style_layer_weights": [1.0]}, r"style_layer_weights has 1 entries for 5 style_layers"),
        ({"style_layer_weights": []}, r"style_layer_weights has 0 entries for 5 style_layers"),
        ({"content_layers": ["relu9_1"]}, r"random has no layer 'relu9_1'"),
        ({"features": "vgg"}, r"no features named 'vgg'"),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any], message: str
) -> None:
    quick_random(monkeypatch)
    block = {"class": "gatys", "features": "random", **overrides}
    with pytest.raises(UserError, match=message):
        make(block, "methods.gatys", seed=0, device="cpu")


def _entries() -> list[tuple[str, str]]:
    tree = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    return [
        (scale, name)
        for scale in tree["scales"]
        for name, block in tree["methods"].items()
        if block["class"] == "gatys"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "name"), _entries())
def test_every_entry_of_params_yaml_runs(
    monkeypatch: pytest.MonkeyPatch, scale: str, name: str
) -> None:
    quick_random(monkeypatch)
    tree = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    block = Params({**tree, "scale": scale}).method(name)
    method = make({**block, "features": "random"}, name, seed=1, device="cpu")
    assert method.batch == block["batch"]
    assert method.steps(256, 256) >= block["steps"]
    assert method.card()["features_hash"]
    first = next(iter(method.iterates(smooth(2), smooth(2, seed=1))))
    assert first.image.isfinite().all()
    assert (first.losses["total"] > 0).all()


@pytest.mark.slow
def test_an_entry_may_have_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_random(monkeypatch)
    params = Params.load(Path(__file__).parents[2] / "params.yaml").at("smoke")
    block = {**params.method("gatys_lbfgs"), "features": "random"}
    made = [make(b, "gatys", seed=1, device="cpu") for b in (block, {**block, "seed": 5})]
    assert [method.seed for method in made] == [1, 5]
    assert made[0].settings == made[1].settings


def test_an_unknown_class_and_a_missing_one() -> None:
    with pytest.raises(
        UserError, match=r"no system named 'gattys': there is no atelier/methods/ga"
    ):
        make({"class": "gattys"}, "methods.x", seed=0, device="cpu")
    with pytest.raises(UserError, match=r"params\.yaml: methods\.x: needs `class`"):
        make({"features": "random"}, "methods.x", seed=0, device="cpu")
