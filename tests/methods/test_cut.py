"""CUT and FastCUT: PatchNCE against a formula, whom each step moves, mirrored steps, trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.cut import CUT, CUTSettings, Projector, patch_nce
from atelier.methods.unpaired import to_signed
from support import adversaries as ad
from support.steps import pair, smooth, twins
from support.tensors import equal, weights

FAST = {"nce_weight": 10.0, "identity_nce": False, "flip_equivariance": True, "constant": 0.75}


def system(seed: int = 0, **overrides: Any) -> CUT:
    """The narrowest networks."""
    block = {"class": "cut", "steps": 8, "width": 4, "blocks": 2, "crop": 32, "load_size": 36}
    block |= {"projection": 8, "patches": 16}
    found = make(block | overrides, "methods.x", seed=seed, device="cpu")
    assert isinstance(found, CUT)
    return found


def random_batch(batch: int, patches: int, seed: int) -> Tensor:
    drawn = torch.randn(batch, patches, 8, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=2)


def published(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """The published code's, for one picture: the own patch first, its place among others at -10."""
    positive = (query * key).sum(1, keepdim=True)
    negative = (query @ key.T).masked_fill(torch.eye(len(query), dtype=torch.bool), -10.0)
    logits = torch.cat([positive, negative], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long))


def naive_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """One picture, patch by patch."""
    losses = []
    for n, own in enumerate(query):
        close = torch.stack([(own * other).sum() for other in key]) / temperature
        losses.append(-(close[n].exp() / close.exp().sum()).log())
    return torch.stack(losses).mean()


def test_parameter_counts() -> None:
    method = CUT(CUTSettings(steps=1), 0, "cpu")
    counts = {k: sum(p.numel() for p in net.parameters()) for k, net in method.networks.items()}
    assert counts == {"generator": 11_378_179, "discriminator": 2_764_737, "projector": 560_384}
    assert method.card() == {"kind": "unpaired", "parameters_trained": sum(counts.values())}


def test_the_final_weights_are_the_generators_alone() -> None:
    keys = {key.rpartition(".layers")[0] for key in system().inference_networks.state_dict()}
    assert keys == {"generator.to_art"}


@pytest.mark.parametrize("size", [(48, 48), (50, 37), (9, 61)])
def test_without_antialiasing_a_picture_of_any_size_keeps_it(size: tuple[int, int]) -> None:
    found = system(antialias=False).stylize(smooth(2, *size), smooth(2, 20, 30))
    assert found.shape == (2, 3, *size)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("batch", [1, 3])
def test_patch_nce_is_the_naive_formula_and_the_published_code(
    batch: int, temperature: float
) -> None:
    query, key = (random_batch(batch, 6, seed) for seed in (0, 1))
    found = patch_nce(query, key, temperature)
    assert found.shape == (batch,)
    for naive in (naive_nce, published):
        pairs = zip(query, key, strict=True)
        expected = torch.stack([naive(*pair, temperature) for pair in pairs])
        torch.testing.assert_close(found, expected)


def test_patch_nce_descends_by_the_query_alone() -> None:
    query, key = (random_batch(1, 6, seed).requires_grad_() for seed in (0, 1))
    patch_nce(query, key, 0.07).sum().backward()
    assert query.grad is not None
    assert key.grad is None


def test_patches_that_are_alike_tell_nothing_and_their_own_tell_all() -> None:
    alike = random_batch(1, 1, 0).expand(1, 6, 8)
    assert patch_nce(alike, alike, 0.07).item() == pytest.approx(torch.tensor(6.0).log().item())
    own = torch.eye(8)[None]
    assert patch_nce(own, own, 0.07).item() < 1e-4


def test_the_projector_takes_places_and_gives_unit_vectors() -> None:
    network, taps = Projector((3, 5), 16), [torch.randn(2, 3, 6, 7), torch.randn(2, 5, 2, 3)]
    places = [torch.tensor([0, 9, 41]), torch.tensor([5, 1])]
    found = network(taps, places)
    assert [tuple(one.shape) for one in found] == [(2, 3, 16), (2, 2, 16)]
    torch.testing.assert_close(found[0].norm(dim=2), torch.ones(2, 3))
    layer = network[0]
    expected = layer(taps[0][1, :, 9 // 7, 9 % 7])
    torch.testing.assert_close(found[0][1, 1], expected / expected.norm())
    kept = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [m.in_features for m in kept] == [3, 16, 5, 16]


@pytest.mark.parametrize("identity_nce", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_losses_are_those_of_a_naive_formula(identity_nce: bool, batch: int) -> None:
    """All positions compared, so that their order does not matter; picture by picture."""
    weights = {"gan_weight": 3.0, "nce_weight": 5.0}
    method = system(
        identity_nce=identity_nce, patches=10_000, init="normal", init_gain=0.2, **weights
    )
    seen = ad.batch_of(batch)
    found = ad.losses_of(method, seen)
    judge, project = method.networks["discriminator"], method.networks["projector"]

    def nce(image: Tensor) -> Tensor:
        made, gaps = method.generator(image), []
        taps = zip(method.generator.encode(made), method.generator.encode(image), strict=True)
        for layer, both in zip(project, taps, strict=True):  # type: ignore[call-overload]
            query, key = (F.normalize(layer(tap[0].flatten(1).T), dim=1) for tap in both)
            gaps.append(published(query, key, 0.07))
        return torch.stack(gaps).mean()

    with torch.no_grad():
        photo, art = to_signed(seen.content), to_signed(seen.style)
        fake = method.generator(photo)
        gan = (judge(fake) - 1).square().mean()
        parts = [torch.stack([nce(one[None]) for one in images]).mean() for images in (photo, art)]
        names = ["nce_to_art", "nce_identity"] if identity_nce else ["nce_to_art"]
        expected = {"gan_to_art": gan, **dict(zip(names, parts, strict=False))}
        both = sum(parts) / 2 if identity_nce else parts[0]
        expected["total"] = 3 * gan + 5 * both
        judged = ((judge(art) - 1).square().mean() + judge(fake).square().mean()) / 2
    assert set(found["generator"]) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found["generator"][name], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["discriminator"]["total"], judged)
    assert all(loss.ndim == 0 for losses in found.values() for loss in losses.values())


def test_a_mirrored_step_compares_with_the_upright_pictures() -> None:
    """The generator sees the photograph mirrored; its features are mirrored back."""
    overrides: dict[str, Any] = {"flip_equivariance": True, "identity_nce": False}
    overrides |= {"patches": 10_000, "init": "normal", "init_gain": 0.2}
    method, judge = system(**overrides), system(**overrides).networks["discriminator"]
    steps = {system(**overrides)._flipped(ad.batch_of(step=n)): n for n in range(20)}
    assert set(steps) == {True, False}
    for flipped, step in steps.items():
        seen = ad.batch_of(step=step)
        found = ad.losses_of(method, seen)
        with torch.no_grad():
            photo = to_signed(seen.content)
            made = method.generator(photo.flip(3) if flipped else photo)
            queries = [q.flip(3) if flipped else q for q in method.generator.encode(made)]
            keys = method.generator.encode(photo)
            places = [torch.arange(key.shape[2] * key.shape[3]) for key in keys]
            pairs = [method.networks["projector"](x, places) for x in (queries, keys)]
            gaps = [patch_nce(*pair, 0.07) for pair in zip(*pairs, strict=True)]
            gan = (judge(made) - 1).square().mean()
        torch.testing.assert_close(found["generator"]["nce_to_art"], torch.stack(gaps).mean())
        torch.testing.assert_close(found["generator"]["gan_to_art"], gan)


def test_every_other_step_is_mirrored_if_asked_for() -> None:
    def count(**overrides: Any) -> int:
        method = system(**overrides)
        batches = (Batch(n, 0, torch.zeros(1), torch.zeros(1), ()) for n in range(200))
        return sum(method._flipped(batch) for batch in batches)

    assert count() == 0
    assert 75 < count(flip_equivariance=True) < 125


def test_places_differ_within_a_tap_and_from_step_to_step() -> None:
    method, taps = system(), [torch.zeros(1, 3, 6, 7), torch.zeros(1, 3, 2, 3)]
    places = [method._places(taps, ad.batch_of(step=n)) for n in (0, 0, 1)]
    assert [len(place) for place in places[0]] == [16, 6]
    for place, size in zip(places[0], (42, 6), strict=True):
        assert len(place.unique()) == len(place)
        assert place.max() < size
    assert torch.equal(places[0][0], places[1][0])
    assert not torch.equal(places[0][0], places[2][0])


def test_the_discriminator_comes_first_and_each_step_moves_its_own() -> None:
    method = system()
    discriminator = method.networks["discriminator"]
    others = [method.networks[name] for name in ("generator", "projector")]
    phases = method.training_losses(ad.batch_of())
    name, losses = next(phases)
    assert name == "discriminator"
    torch.autograd.backward(losses["total"])
    assert all(ad.untouched(other) for other in others)
    before = [weight.grad.clone() for weight in discriminator.parameters()]
    name, losses = next(phases)
    assert name == "generator"
    torch.autograd.backward(losses["total"])
    after = [weight.grad for weight in discriminator.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(weight.requires_grad for weight in discriminator.parameters())
    assert not any(ad.untouched(other) for other in others)
    assert next(phases, None) is None


def test_the_optimisers_share_the_networks_out() -> None:
    method = system(lr=0.01, beta1=0.3)
    optimizers = method.optimizers()
    assert list(optimizers) == ["discriminator", "generator"]
    held = {name: _held(optimizer) for name, optimizer in optimizers.items()}
    nets = {name: {id(w) for w in net.parameters()} for name, net in method.networks.items()}
    assert held["discriminator"] == nets["discriminator"]
    assert held["generator"] == nets["generator"] | nets["projector"]
    assert {o.defaults["betas"] for o in optimizers.values()} == {(0.3, 0.999)}


def _held(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(weight) for group in optimizer.param_groups for weight in group["params"]}


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("overrides", [{}, FAST], ids=["cut", "fastcut"])
def test_the_gradient_reaches_every_parameter(antialias: bool, overrides: dict[str, Any]) -> None:
    """But for shifts that an instance norm takes out again."""
    method = system(antialias=antialias, init="normal", **overrides)
    for _, losses in method.training_losses(ad.batch_of()):
        torch.autograd.backward(losses["total"])
    assert ad.finite(method.networks)
    silent = ad.idle(method.networks)
    assert all(name.endswith("bias") and "projector" not in name for name in silent)
    last = len(method.generator.layers) - 1
    ends = {f"generator.to_art.layers.{last}.bias", "discriminator.0.bias"}
    assert ends <= {name for name, _ in method.networks.named_parameters()} - silent


@pytest.mark.parametrize("overrides", [{}, FAST], ids=["cut", "fastcut"])
@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_a_few_steps_lower_the_losses(name: str, overrides: dict[str, Any]) -> None:
    method = system(width=8, lr=2e-3, patches=64, **overrides | {"constant": 1.0})
    totals = ad.optimise(method, [ad.batch_of()] * 12, only=name)[name]
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])


@pytest.mark.parametrize("which", ["content", "style", "both"])
def test_pictures_of_a_dark_colour_stay_finite(which: str) -> None:
    """Middle grey, 0 inside, where a length has no slope, is tested of every entry."""
    content, style = pair(which, side=32, count=1, value=0.2)
    method = system()
    for _, losses in method.training_losses(Batch(0, 0, content, style, ("a", "b"))):
        torch.autograd.backward(losses["total"])
        assert all(loss.isfinite() for loss in losses.values())
    assert ad.finite(method.networks)
    assert method.stylize(content, style).isfinite().all()


def test_the_same_seed_mirrors_alike() -> None:
    one, other = twins(lambda: system(seed=3, **FAST))
    first, second = (ad.optimise(m, (ad.batch_of(step=n) for n in range(3))) for m in (one, other))
    assert first == second
    assert equal(weights(one.networks), weights(other.networks))
    assert not equal(weights(system(seed=4).networks), weights(system(seed=3).networks))


def test_a_resumed_training_of_fastcut_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    overrides = {"log_every": 3, "steps": 5, **FAST}
    whole = ad.training(system(**overrides), tmp_path / "whole")
    list(whole.run())
    ad.stopped(ad.training(system(**overrides), tmp_path / "parts"), 2)
    torch.rand(7)  # somebody else draws from the global generator
    second = ad.training(system(**overrides), tmp_path / "parts")
    assert second.step == 2
    list(second.run())
    assert equal(weights(whole.method.networks), weights(second.method.networks))
    assert equal(whole.final_weights(), second.final_weights())
    assert whole.history == second.history


@pytest.mark.parametrize("identity_nce", [True, False])
def test_curves_bear_the_usual_names(tmp_path: Path, identity_nce: bool) -> None:
    one = ad.training(system(steps=1, identity_nce=identity_nce), tmp_path)
    list(one.run())
    names = {"step", "generator", "gan_to_art", "nce_to_art", "discriminator", "discriminator_art"}
    assert set(one.history) == names | ({"nce_identity"} if identity_nce else set())


@pytest.mark.slow
def test_a_divided_batch_has_the_same_gradient() -> None:
    """If all positions are compared; the parts draw their own."""
    ad.check_divided(lambda: system(patches=10_000, init="normal"))


def test_extras_show_the_one_direction() -> None:
    method, content = system(), smooth(2, 50, 37)
    found = list(method.extras(["a", "b"], content, smooth(2, 20, 30)))
    assert [(e.title, e.row, e.column) for e in found] == [
        ("to_art", row, column) for row in "ab" for column in ("1 input", "2 translated")
    ]
    torch.testing.assert_close(found[1].image, method.stylize(content[:1], content[:1])[0])
    assert torch.equal(found[2].image, content[1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"blocks": 1}, r"methods\.x\.blocks: .*greater than or equal to 2"),
        ({"temperature": 0}, r"methods\.x\.temperature: .*greater than 0"),
        ({"patches": 1}, r"methods\.x\.patches: .*greater than or equal to 2"),
        ({"fast": True}, r"methods\.x\.fast: no such setting"),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(**overrides)


def test_the_defaults_are_the_papers() -> None:
    s = CUTSettings(steps=1)
    assert (s.gan_weight, s.nce_weight, s.identity_nce, s.flip_equivariance) == (1, 1, True, False)
    assert (s.patches, s.temperature, s.projection, s.blocks, s.width) == (256, 0.07, 256, 9, 64)
    weight = system(width=32).networks.get_parameter("discriminator.11.weight")
    wanted = 0.02 * (2 / (16 * (128 + 256))) ** 0.5
    assert weight.std().item() == pytest.approx(wanted, rel=0.02)
