"""Fast style transfer: three layouts, their losses against formulas, training of one painting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from atelier.core.batches import Batches
from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.fast import Fast, FastSettings, TransNet
from atelier.methods.trained import seeded
from atelier.nn.pretrained.features import Features, vgg_layers
from support.pictures import save
from support.steps import (
    WEIGHTS,
    batch_of,
    check_finite,
    check_layer_weights,
    check_perceptual_losses,
    losses_of,
    optimise,
    pair,
    smooth,
)
from support.tensors import weights

LAYOUTS = {"transnet": 1_674_435, "examples": 1_679_235, "johnson": 1_679_235}
VARIANTS = ("examples", "johnson")
"""The layouts that no entry of ``params.yaml`` has, so that test_contract.py does not see them."""
STYLE = ("relu1_1", "relu2_1")


def system(seed: int = 0, **overrides: Any) -> Fast:
    """The narrowest network and the shallowest layers of ``mini``."""
    block = {"features": "mini", "content_layers": ["relu2_1"], "style_layers": STYLE}
    block |= {"class": "fast", "style": "night", "steps": 1, "width": 4, "lr": 0.01} | overrides
    found = make(block, "methods.x", seed=seed, device="cpu")
    assert isinstance(found, Fast)
    return found


def losses(method: Fast, content: Tensor, style: Tensor, step: int = 0) -> dict[str, Tensor]:
    return losses_of(method, batch_of(content, style, step))


def train(method: Fast, steps: int, style: Tensor | None = None) -> list[float]:
    content, style = smooth(2), smooth(1, 40, 36, seed=1) if style is None else style
    return optimise(method, (batch_of(content, style, step) for step in range(steps)))


def naive_gram(value: Tensor) -> Tensor:
    """(C, …) to (C, C), divided by all numbers."""
    rows = value.flatten(1)
    return torch.einsum("cm,dm->cd", rows, rows) / rows.numel()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameter_counts(layout: str) -> None:
    method = system(layout=layout, width=32)
    card = method.card()
    assert card["parameters_trained"] == LAYOUTS[layout]
    assert card["kind"] == "per_style"
    assert card["style"] == "night"
    assert "features" not in card, "it looks at nothing when it is applied"
    assert method.training_card()["loss_features"] == "mini"


@pytest.mark.parametrize("layout", VARIANTS)
@pytest.mark.parametrize("size", [(48, 48), (50, 37), (9, 61)])
def test_a_picture_of_any_size_keeps_it(layout: str, size: tuple[int, int]) -> None:
    found = system(layout=layout).stylize(smooth(2, *size), smooth(2, 20, 30))
    assert found.shape == (2, 3, *size)
    assert found.min() >= 0
    assert found.max() <= 1


def test_output_ranges_of_the_layouts() -> None:
    for layout in LAYOUTS:
        network = TransNet(layout, 4)  # type: ignore[arg-type]
        last = network.layers[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        for bias, squashed, linear in ((1e4, 1.0, 1e4 / 255), (-1e4, 0.0, -1e4 / 255)):
            with torch.no_grad():
                last.bias.fill_(bias)
                found = network(smooth(1))
            expected = linear if layout == "examples" else squashed
            torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0.05, atol=0)


def test_layers_of_the_layouts() -> None:
    """Rows of MODELS' table: kernel, stride, padding mode, bias; norms; ReLU after the sum."""
    for layout in LAYOUTS:
        network, plain = TransNet(layout, 32), layout == "transnet"  # type: ignore[arg-type]
        convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]
        rows = [(c.kernel_size[0], c.stride[0], c.out_channels) for c in convs]
        down, body = [(9, 1, 32), (3, 2, 64), (3, 2, 128)], [(3, 1, 128)] * 10
        assert rows == [*down, *body, (3, 1, 64), (3, 1, 32), (9, 1, 3)]
        assert {c.padding_mode for c in convs} == {"zeros" if plain else "reflect"}
        assert [c.bias is not None for c in convs] == [not plain] * 15 + [True]
        assert [n.affine for n in norms] == [not plain] * 15
        blocks = [m for m in network.layers if type(m).__name__ == "Residual"]
        assert [isinstance(b.last, nn.ReLU) for b in blocks] == [plain] * 5


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_padding_can_be_chosen(layout: str, padding: str) -> None:
    method = system(layout=layout, padding=padding)
    convs = [layer for layer in method.networks.modules() if isinstance(layer, nn.Conv2d)]
    assert {conv.padding_mode for conv in convs} == {padding}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_residual_block_adds_its_input(layout: str) -> None:
    network = TransNet(layout, 4)  # type: ignore[arg-type]
    block, value = network.layers[9], torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        expected = value + block.body(value)
        expected = expected.relu() if layout == "transnet" else expected
        assert torch.equal(block(value), expected)


def test_the_losses_are_those_of_a_naive_formula() -> None:
    method, content, style = system(**WEIGHTS), smooth(2), smooth(1, 40, 36, seed=1)
    with torch.no_grad():
        image = method.generate(content, style)
    check_perceptual_losses(method, batch_of(content, style), image, naive_gram)


def test_batch_gram_is_one_matrix_of_the_whole_batch() -> None:
    """The course report's code: the Gram matrix of (B·M) positions divided by all numbers."""
    content, style = smooth(3), smooth(1, seed=1)
    found = {
        flag: losses(system(batch_gram=flag), content, style)["style"] for flag in (True, False)
    }
    method = system()
    with torch.no_grad():
        made = method.loss_features(method.generate(content, style))
        wanted = method.loss_features(style)
        rows = {layer: made[layer].permute(1, 0, 2, 3) for layer in STYLE}
        gap = sum((naive_gram(rows[k]) - naive_gram(wanted[k][0])).square().mean() for k in STYLE)
    torch.testing.assert_close(found[1], gap)
    assert found[1] < found[0], "a mean of matrices is nearer than the matrices are on average"


def test_batch_gram_of_one_picture_is_the_pictures_own() -> None:
    content, style = smooth(1), smooth(1, seed=1)
    one, other = (losses(system(batch_gram=flag), content, style) for flag in (True, False))
    torch.testing.assert_close(one["style"], other["style"])


def test_a_loss_of_a_batch_is_the_mean_over_its_pictures() -> None:
    method, style = system(tv_weight=1.0), smooth(1, seed=1)
    together = losses(method, smooth(3), style)
    alone = [losses(method, picture[None], style) for picture in smooth(3)]
    for name, value in together.items():
        torch.testing.assert_close(value, torch.stack([one[name] for one in alone]).mean())


def test_style_layer_weights_weigh_their_layer() -> None:
    def style(weights: list[float]) -> Tensor:
        return losses(system(style_layer_weights=weights), smooth(2), smooth(1, seed=1))["style"]

    check_layer_weights(style)


def test_gram_positions_is_gram_times_the_squared_width() -> None:
    """Divided by the positions alone, a layer of C channels weighs C² times as much."""

    def style(**overrides: Any) -> Tensor:
        return losses(system(**overrides), smooth(2), smooth(1, seed=1))["style"]

    weighed = style(style_layer_weights=[32**2, 64**2])
    torch.testing.assert_close(style(style_loss="gram_positions"), weighed)


@pytest.mark.parametrize("name", ["gram_scaled", "wasserstein", "mean_std"])
def test_other_style_losses_fall_too(name: str) -> None:
    totals = train(system(style_loss=name, style_weight=10.0, lr=3e-3), 8)
    assert totals[-1] < 0.8 * totals[0]


def test_tv_is_left_out_at_weight_zero() -> None:
    assert set(losses(system(), smooth(1), smooth(1))) == {"total", "content", "style"}


def test_style_targets_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    forward = Features.forward

    def counted(self: Features, image: Tensor) -> dict[str, Tensor]:
        seen.append(tuple(image.shape))
        return forward(self, image)

    monkeypatch.setattr(Features, "forward", counted)
    train(system(), 3)
    assert seen.count((1, 3, 40, 36)) == 1
    assert seen.count((2, 3, 48, 48)) == 2 * 3


def test_targets_hold_no_graph() -> None:
    method = system()
    losses(method, smooth(1), smooth(1, seed=1))
    assert set(method.targets) == set(STYLE)
    assert not any(target.requires_grad for target in method.targets.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_loss_falls(layout: str) -> None:
    totals = train(system(layout=layout, style_weight=1e4), 15)
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_reaches_every_parameter(layout: str) -> None:
    """But for shifts that an instance norm takes out again, before it or at the end of a block."""
    method = system(layout=layout, tv_weight=1.0)
    torch.autograd.backward(losses(method, smooth(2), smooth(1, seed=1))["total"])
    idle = set()
    for name, weight in method.networks.named_parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()
        if weight.grad.abs().max() < 1e-6:
            idle.add(name)
    assert all(name.endswith("bias") for name in idle)
    assert f"transformer.layers.{len(method.networks['transformer'].layers) - 1}.bias" not in idle
    assert not idle or layout != "transnet"
    assert not any(weight.requires_grad for weight in method.loss_features.network.parameters())


@pytest.mark.parametrize("layout", VARIANTS)
@pytest.mark.parametrize("which", ["content", "style", "both"])
def test_pictures_of_one_colour_stay_finite(layout: str, which: str) -> None:
    content, style = pair(which)
    check_finite(system(layout=layout, tv_weight=1.0), content, style[:1])


@pytest.mark.parametrize("layout", VARIANTS)
def test_two_pictures_are_transformed_as_each_alone(layout: str) -> None:
    method, content = system(layout=layout), smooth(2, 40, 44)
    together = method.stylize(content, content)
    alone = torch.cat([method.stylize(one[None], one[None]) for one in content])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_painting_given_to_stylize_is_ignored() -> None:
    method, content = system(), smooth(1)
    assert torch.equal(
        method.stylize(content, smooth(1, seed=1)), method.stylize(content, smooth(1, 20, 30, 2))
    )


def test_the_first_weights_are_torchs_own() -> None:
    with seeded(5):
        expected = TransNet("transnet", 4).state_dict()
    found = weights(system(seed=5).networks)
    assert all(torch.equal(found[f"transformer.{key}"], expected[key]) for key in expected)


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers(name: str, kind: str) -> None:
    (optimizer,) = system(optimizer=name, lr=0.02).optimizers().values()
    assert type(optimizer).__name__ == kind
    assert optimizer.defaults["lr"] == 0.02
    assert optimizer.defaults["weight_decay"] == (0.01 if name == "adamw" else 0)


def test_one_painting_is_trained_with(tmp_path: Path) -> None:
    paintings = [tmp_path / f"{name}.png" for name in ("blossom", "night", "roots")]
    assert system().training_styles(paintings) == [paintings[1]]


@pytest.mark.parametrize("place", [0, 2])
def test_a_painting_can_be_named_by_its_place(tmp_path: Path, place: int) -> None:
    paintings = [tmp_path / f"{name}.png" for name in ("blossom", "night", "roots")]
    assert system(style=place).training_styles(paintings) == [paintings[place]]


@pytest.mark.parametrize("place", [3, 70])
def test_a_place_that_is_none_is_named(tmp_path: Path, place: int) -> None:
    paintings = [tmp_path / f"{n}.jpg" for n in range(3)]
    with pytest.raises(UserError, match=rf"no painting {place}; the 3 are 0, 1, 2"):
        system(style=place).training_styles(paintings)


def test_an_unknown_painting_is_named(tmp_path: Path) -> None:
    paintings = [tmp_path / f"{n}.jpg" for n in range(9)]
    with pytest.raises(UserError, match=r"no painting 'night'.* 0, 1, 2, 3, 4, …"):
        system().training_styles(paintings)


def test_the_painting_is_taken_whole_and_the_photographs_are_cut(tmp_path: Path) -> None:
    photos = [save(tmp_path / f"{n}.png", n, (60, 50)) for n in range(3)]
    painting = save(tmp_path / "night.png", 9, (70, 44))
    method = system(crop=32, batch=3)
    batch = Batches(photos, method.training_styles([*photos, painting]), method.plan(), 0)[0]
    assert batch.content.shape == (3, 3, 32, 32)
    assert batch.style.shape == (1, 3, 44, 70)
    assert losses(method, batch.content, batch.style)["total"].isfinite()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"layout": "johnsson"}, r"methods\.x\.layout: .*'transnet'.*found 'johnsson'"),
        ({"width": 3}, r"methods\.x\.width: .*greater than or equal to 4"),
        ({"style_layer_weights": [1.0]}, r"style_layer_weights has 1 entries for 2 style_layers"),
        ({"style_layers": []}, r"methods\.x\.style_layers: .*at least 1 item"),
        ({"lr": 0}, r"methods\.x\.lr: .*greater than 0"),
        ({"content_layers": ["relu9_1"]}, r"mini has no layer 'relu9_1'"),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(**overrides).training_card()


def test_the_default_layers_are_those_of_the_report() -> None:
    settings = FastSettings(style="a", steps=1, features="vgg16")
    assert settings.content_layers == ("relu2_2",)
    assert settings.style_layers == ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    assert {*settings.content_layers, *settings.style_layers} < set(vgg_layers("vgg16"))


def test_the_temporal_loss_is_added_with_its_weight() -> None:
    pictures = smooth(2), smooth(1, 40, 36, seed=1)
    without, found = (losses(system(temporal_weight=w), *pictures) for w in (0.0, 3.0))
    assert "temporal" not in without
    assert found["temporal"] > 0
    torch.testing.assert_close(found["total"], without["total"] + 3 * found["temporal"])
    assert losses(system(temporal_weight=3.0), *pictures, 1)["temporal"] != found["temporal"]


@pytest.mark.slow
def test_the_temporal_loss_falls_when_it_counts() -> None:
    found = {}
    for weight in (1e-9, 1e3):
        method = system(temporal_weight=weight)
        train(method, 30)
        found[weight] = losses(method, smooth(2), smooth(1, 40, 36, seed=1), 99)["temporal"]
    assert found[1e3] < 0.5 * found[1e-9]
