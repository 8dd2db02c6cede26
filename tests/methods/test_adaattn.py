"""AdaAttN: the published sizes and formulas, its schedule, mixtures, strength, any size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from atelier.core.batches import Batch
from atelier.core.config import UserError
from atelier.methods import adaattn
from atelier.methods.adaattn import LOSS_LAYERS, AdaAttN
from atelier.methods.base import make
from atelier.nn import attention, attention_by_rows
from atelier.nn.attention import STD_EPS, mvn
from atelier.nn.losses import mean_std
from atelier.nn.pretrained import features
from support import arbitrary
from support.arbitrary import (
    check_he_initialisation,
    check_identity_loss,
    check_one_style,
    check_tiles,
    two_pairs,
)
from support.nets import answer_with, vgg_state
from support.steps import losses_of, optimise, smooth

DEPTHS = ("relu1_1", *LOSS_LAYERS)


def system(seed: int = 0, **overrides: Any) -> AdaAttN:
    # the published first weights are meant for VGG19's widths; with narrow ones all dies away
    block = {"class": "adaattn", "features": "mini", "steps": 20, "lr": 2e-3, "init_std": 0.05}
    method = make({**block, **overrides}, "methods.adaattn", seed=seed, device="cpu")
    assert isinstance(method, AdaAttN)
    return method


legible = arbitrary.legible(system)


def losses(method: AdaAttN, seen: Batch | None = None) -> dict[str, Tensor]:
    return losses_of(method, seen or two_pairs())


def train(method: AdaAttN, steps: int) -> list[float]:
    return optimise(method, (two_pairs(step=step) for step in range(steps)))


def count(part: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


@pytest.mark.slow
@pytest.mark.usefixtures("seeded_vgg19")
def test_with_vgg19_it_has_the_published_sizes() -> None:
    method = system(features="vgg19")
    assert {name: count(part) for name, part in method.networks.items()} == {
        "decoder": 4_095_043,
        "transformer": 9_066_752,
        "relu3": 468_096,
    }
    assert method.card()["parameters_trained"] == 13_629_891
    convolutions = [m for m in method.features.modules() if isinstance(m, torch.nn.Conv2d)]
    assert {m.padding_mode for m in convolutions} == {"reflect"}
    plain = system(features="vgg19", shallow_keys=False, skip=False)
    assert {name: count(part) for name, part in plain.networks.items()} == {
        "decoder": 3_505_219,
        "transformer": 3_935_744,
    }


def test_the_first_weights_are_normal_and_the_biases_zero() -> None:
    for name, weight in system(init_std=0.02).networks.named_parameters():
        if name.endswith("bias"):
            assert (weight == 0).all()
        elif weight.numel() > 1000:
            assert weight.mean().abs() < 0.003
            assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_schedule_is_the_one_the_authors_code_really_has() -> None:
    method = system(steps=500)
    factors = [method.lr_factor(step) for step in (0, 99, 100, 199, 200, 300, 400, 499)]
    assert factors == pytest.approx([1, 1, 1, 1, 0.3, 0.09, 0.027, 0.027])
    assert system(steps=500, epochs=1).lr_factor(499) == 1
    assert system(steps=3).lr_factor(2) == pytest.approx(0.09)  # in epoch 3 of 0 to 4


def _keys(found: dict[str, Tensor], layer: str) -> Tensor:
    names = DEPTHS[: DEPTHS.index(layer) + 1]
    return torch.cat([mvn(F.interpolate(found[k], found[layer].shape[2:])) for k in names], 1)


def _attention(content: dict[str, Tensor], style: dict[str, Tensor], layer: str) -> Tensor:
    """With the whole map and no projections."""
    query, key = (_keys(part, layer).flatten(2) for part in (content, style))
    weights, value = (query.mT @ key).softmax(2), style[layer].flatten(2).mT
    mean = weights @ value
    std = ((weights @ value.square() - mean.square()).clamp_min(0) + STD_EPS).sqrt()
    shape = content[layer].shape
    return std.mT.reshape(shape) * mvn(content[layer]) + mean.mT.reshape(shape)


def test_the_losses_are_the_papers() -> None:
    method, seen = system(content_weight=0.5), two_pairs()
    found = losses(method, seen)
    content, style = method.features(seen.content), method.features(seen.style)
    positions = Generator()  # all positions fit
    parts = (method._see(part, LOSS_LAYERS, positions) for part in (seen.content, seen.style))
    again = method.features(method.networks["decoder"](*method._stylised(*parts)))
    everywhere, local, kept = torch.zeros(()), torch.zeros(()), torch.zeros(())
    for k in ("relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        for ours, theirs in zip(mean_std(again[k]), mean_std(style[k]), strict=True):
            everywhere = everywhere + (ours - theirs).square().mean()
        local = local + (again[k] - _attention(content, style, k)).square().mean()
        kept = kept + (mvn(again[k]) - mvn(content[k])).square().mean()
    torch.testing.assert_close(found["global"], everywhere)
    torch.testing.assert_close(found["local"], local, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["content"], kept)
    total = 10 * found["global"] + 3 * found["local"] + 0.5 * found["content"]
    torch.testing.assert_close(found["total"], total)


def test_the_content_loss_is_watched_but_not_descended_by_default() -> None:
    found = losses(system())
    torch.testing.assert_close(found["total"], 10 * found["global"] + 3 * found["local"])
    assert found["content"] > 0


@pytest.mark.slow
def test_a_sample_of_the_local_loss_is_the_same_on_average() -> None:
    method, few = system(), system(local_samples=16)
    whole = losses(method)
    seen = [losses(few, two_pairs(step=step)) for step in range(40)]
    exact = [losses(method, two_pairs(step=step))["local"].item() for step in range(40)]
    found = [one["local"].item() for one in seen]
    assert len({*found}) > 1
    assert sum(found) == pytest.approx(sum(exact), rel=0.05)
    torch.testing.assert_close(seen[0]["global"], whole["global"])
    everywhere = losses(system(local_samples=10**6))
    assert torch.equal(everywhere["local"], whole["local"]), "more than there are: all"


def test_fewer_local_layers_are_part_of_all() -> None:
    parts = [losses(system(local_layers=[k]))["local"] for k in LOSS_LAYERS]
    torch.testing.assert_close(torch.stack(parts).sum(), losses(system())["local"])


def test_the_identity_loss_is_of_the_photograph_as_its_own_style() -> None:
    check_identity_loss(system(identity_weight=100.0), system(), two_pairs())


def test_no_picture_is_encoded_twice_in_a_step() -> None:
    method, asked = system(), list[Tensor]()
    method.features.register_forward_hook(lambda _, inputs, __: asked.append(inputs[0]))
    losses(method)
    assert len(asked) == 3


@pytest.mark.parametrize("overrides", [{}, {"skip": False}, {"shallow_keys": False}])
def test_the_gradient_reaches_every_trained_parameter_and_no_other(
    overrides: dict[str, Any],
) -> None:
    method = system(**overrides)
    torch.autograd.backward(losses(method)["total"])
    for name, weight in method.networks.named_parameters():
        assert weight.grad is not None
        # a shift of all scores of a query changes no softmax: the keys' bias has no effect
        assert weight.grad.abs().sum() > 0 or name.endswith("key.bias"), name
    assert all(weight.grad is None for weight in method.features.parameters())


@pytest.mark.parametrize("overrides", [{}, {"skip": False, "shallow_keys": False}])
def test_training_lowers_the_loss(overrides: dict[str, Any]) -> None:
    # at 2e-3 losses jump, and by which amount depends on how the processor rounds
    curve = train(system(lr=5e-4, **overrides), 10)
    assert curve[-1] < 0.8 * curve[0]


def test_he_initialisation_lets_the_picture_through() -> None:
    check_he_initialisation(*(system(init=init, init_std=0.02) for init in ("published", "he")))


def test_identity_initialisation_is_attention_without_projections() -> None:
    method = system(init="he")
    seen = [method._see(smooth(1, seed=n), LOSS_LAYERS, Generator()) for n in (0, 1)]
    block = method.networks["relu3"]
    assert isinstance(block, attention.AdaAttention)
    with torch.no_grad():
        block.query.weight.div_(attention.SOFT)
        block.key.weight.div_(attention.SOFT)
        plain = attention.attend_unprojected(*seen, "relu3_1")
        torch.testing.assert_close(block(*seen), plain, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_curve() -> None:
    curves = [train(system(seed, max_sample=40), 3) for seed in (0, 0, 1)]
    assert curves[0] == curves[1] != curves[2]


def test_positions_are_drawn_anew_in_every_step_from_the_batch() -> None:
    method = system(max_sample=40)
    first, same, other = (losses(method, two_pairs(step=n))["local"] for n in (0, 0, 1))
    assert first == same != other
    full = system(max_sample=10_000)
    assert losses(full, two_pairs(step=0))["local"] == losses(full, two_pairs(step=1))["local"]


@pytest.mark.parametrize("setting", ["max_sample", "max_sample_deep"])
def test_in_use_positions_depend_on_the_seed_alone(setting: str) -> None:
    before = torch.get_rng_state()
    content, style = smooth(1), smooth(1, 80, 64, seed=1)
    method = legible(**{setting: 12})
    first = method.stylize(content, style)
    assert torch.equal(first, method.stylize(content, style))
    assert not torch.allclose(first, legible().stylize(content, style), atol=1e-3)
    method.seed = 5
    assert not torch.equal(first, method.stylize(content, style))
    assert torch.equal(before, torch.get_rng_state()), "the global generator is left alone"


def test_losses_and_attention_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    method, exact = system(), losses(system())
    kinds: list[torch.dtype] = []
    inner = attention_by_rows.product

    def watched(one: Tensor, other: Tensor) -> Tensor:
        found = inner(one, other)
        kinds.extend([one.dtype, other.dtype, found.dtype])
        return found

    monkeypatch.setattr(attention_by_rows, "product", watched)
    with torch.autocast("cpu", torch.bfloat16):
        rough = losses(method)
    assert kinds
    assert set(kinds) == {torch.float32}
    for name, loss in rough.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact[name].item(), rel=0.1)
    assert rough["total"] != exact["total"]


def test_whole_pictures_of_any_size_are_cut_to_multiples_in_training() -> None:
    content, style = smooth(2, 50, 71), smooth(2, 37, 60, seed=1)
    found, cut = (
        losses(system(), two_pairs(part, style))["total"]
        for part in (content, content[..., :48, :64])
    )
    torch.testing.assert_close(found, cut)


def _blend(method: AdaAttN, styles: list[Tensor], weights: list[float], share: float = 1) -> Tensor:
    return method.interpolate(smooth(1), styles, weights, share)


def test_one_style_with_split_weights_is_that_style() -> None:
    check_one_style(legible())


def test_a_mixture_decodes_the_mixed_inputs_of_the_decoder() -> None:
    method, styles = legible(), [smooth(1, seed=1), smooth(1, 33, 50, seed=2)]
    seen = method._encode(smooth(1))
    with torch.no_grad():
        parts = [method._stylised(seen, method._encode(s)) for s in (*styles, smooth(1))]
        shares = (0.6 * 0.25, 0.6 * 0.75, 0.4)
        mixed = [sum(w * p for w, p in zip(shares, same, strict=True)) for same in zip(*parts)]  # noqa: B905
        expected = method.networks["decoder"](*mixed)
        found = method.blend(smooth(1), styles, [0.25, 0.75], 0.6)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_at_strength_zero_the_content_is_its_own_style() -> None:
    method, style = legible(), smooth(1, seed=1)
    found = _blend(method, [style], [1.0], 0.0)
    assert torch.equal(found, _blend(method, [smooth(1)], [1.0]))
    assert torch.equal(found, _blend(method, [smooth(1, seed=2)], [1.0], 0.0))
    assert not torch.allclose(found, _blend(method, [style], [1.0]), atol=1e-2)


def test_the_settings_strength_is_obeyed() -> None:
    half = legible(strength=0.5).stylize(smooth(1), smooth(1, seed=1))
    assert torch.equal(half, _blend(legible(), [smooth(1, seed=1)], [1.0], 0.5))


@pytest.mark.parametrize("size", [(50, 37), (17, 90), (64, 64)])
def test_any_size_is_stylised_without_the_skip_too(size: tuple[int, int]) -> None:
    found = legible(skip=False).stylize(smooth(1, *size), smooth(1, 35, 90, seed=1))
    assert found.shape == (1, 3, *size)
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.slow
def test_in_tiles_the_result_is_the_same() -> None:
    check_tiles(legible(), legible(tile=64))


def test_pictures_of_a_batch_do_not_mix() -> None:
    method, content, style = legible(max_sample=40), smooth(3), smooth(3, 40, 35, seed=1)
    together = method.stylize(content, style)
    for n in range(3):
        alone = method.stylize(content[n : n + 1], style[n : n + 1])
        # scores as large as theirs turn rounding into more than elsewhere
        torch.testing.assert_close(together[n : n + 1], alone, rtol=0, atol=1e-3)
        assert (together[n] - together[(n + 1) % 3]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tile": 100}, r"methods\.adaattn\.tile: .*multiple of 16"),
        ({"local_layers": ["relu1_1"]}, r"methods\.adaattn\.local_layers\.0: .*relu2_1"),
        ({"local_layers": []}, r"methods\.adaattn\.local_layers: .*at least 1"),
        ({"max_sample": 0}, r"methods\.adaattn\.max_sample: .*greater than or equal to 1"),
        ({"features": "squeezenet1_1"}, r"squeezenet1_1"),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(features, "resolve", answer_with(vgg_state("squeezenet1_1")))
    if "features" not in overrides:
        monkeypatch.undo()
    with pytest.raises(UserError, match=message):
        system(**overrides)


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(UserError, match=r"40×31 px is too small.*needs 32 px"):
        system().stylize(smooth(1), smooth(1, 31, 40))
    with pytest.raises(UserError, match=r"48×16 px is too small.*needs 32 px"):
        system().stylize(smooth(1, 12, 48), smooth(1))


def test_the_first_layers_are_those_of_the_package() -> None:
    assert adaattn.LAYERS == DEPTHS
