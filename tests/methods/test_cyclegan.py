"""CycleGAN: its losses against a formula, whom each step moves, its pools, whole trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.cyclegan import CycleGAN, CycleGANSettings
from atelier.methods.unpaired import to_signed
from support import adversaries as ad
from support.steps import smooth

PUBLISHED = 2 * 11_378_179 + 2 * 2_764_737


def system(seed: int = 0, **overrides: Any) -> CycleGAN:
    """The narrowest networks."""
    block = {"class": "cyclegan", "steps": 8, "width": 4, "blocks": 1, "crop": 32, "load_size": 36}
    found = make(block | overrides, "methods.x", seed=seed, device="cpu")
    assert isinstance(found, CycleGAN)
    return found


def parts(method: CycleGAN) -> tuple[Any, Any]:
    return method.networks["generator"], method.networks["discriminator"]


def test_parameter_counts() -> None:
    method = CycleGAN(CycleGANSettings(steps=1), 0, "cpu")
    assert method.card() == {"kind": "unpaired", "parameters_trained": PUBLISHED}
    assert sum(p.numel() for p in method.inference_networks.parameters()) == 2 * 11_378_179


def test_the_final_weights_are_the_generators_alone() -> None:
    keys = {key.rpartition(".layers")[0] for key in system().inference_networks.state_dict()}
    assert keys == {"generator.to_art", "generator.to_photo"}


@pytest.mark.parametrize("size", [(48, 48), (50, 37), (9, 61)])
def test_a_picture_of_any_size_keeps_it(size: tuple[int, int]) -> None:
    found = system(upsample="transposed").stylize(smooth(2, *size), smooth(2, 20, 30))
    assert found.shape == (2, 3, *size)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("gan", ["lsgan", "vanilla"])
@pytest.mark.parametrize("identity_weight", [0.5, 0.0])
def test_the_losses_are_those_of_a_naive_formula(gan: str, identity_weight: float) -> None:
    """Every picture through every network by itself."""
    method = system(gan=gan, identity_weight=identity_weight, cycle_weight=7.0)
    batch = ad.batch_of(2)
    found = ad.losses_of(method, batch)
    (to_art, to_photo), (art, photo) = (part.values() for part in parts(method))

    def wrong(verdict: Tensor, real: float) -> Tensor:
        if gan == "lsgan":
            return (verdict - real).square().mean()
        likely = verdict.sigmoid()
        return -(real * likely.log() + (1 - real) * (1 - likely).log()).mean()

    with torch.no_grad():
        a, b = to_signed(batch.content), to_signed(batch.style)
        fake_b, fake_a = to_art(a), to_photo(b)
        expected = {
            "gan_to_art": wrong(art(fake_b), 1),
            "gan_to_photo": wrong(photo(fake_a), 1),
            "cycle_to_art": (to_photo(fake_b) - a).abs().mean(),
            "cycle_to_photo": (to_art(fake_a) - b).abs().mean(),
            "identity_to_art": (to_art(b) - b).abs().mean(),
            "identity_to_photo": (to_photo(a) - a).abs().mean(),
        }
        factors = [1.0] * 2 + [7.0] * 2 + [7.0 * identity_weight] * 2
        total = sum(f * loss for f, loss in zip(factors, expected.values(), strict=True))
        judged = {
            "discriminator_art": (wrong(art(b), 1) + wrong(art(fake_b), 0)) / 2,
            "discriminator_photo": (wrong(photo(a), 1) + wrong(photo(fake_a), 0)) / 2,
        }
    generator = found["generator"]
    if not identity_weight:
        expected = {k: v for k, v in expected.items() if "identity" not in k}
    assert set(generator) == {"total", *expected}
    for name, value in {**expected, "total": total}.items():
        torch.testing.assert_close(generator[name], value)
    for name, value in {**judged, "total": sum(judged.values())}.items():
        torch.testing.assert_close(found["discriminator"][name], value)
    assert all(loss.ndim == 0 for losses in found.values() for loss in losses.values())


def test_the_generators_come_first_and_each_step_moves_its_own() -> None:
    method = system()
    generator, discriminator = parts(method)
    phases = method.training_losses(ad.batch_of())
    name, losses = next(phases)
    assert name == "generator"
    torch.autograd.backward(losses["total"])
    assert ad.untouched(discriminator)
    assert all(weight.requires_grad for weight in discriminator.parameters())
    before = [weight.grad.clone() for weight in generator.parameters()]
    name, losses = next(phases)
    assert name == "discriminator"
    torch.autograd.backward(losses["total"])
    after = [weight.grad for weight in generator.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not ad.untouched(discriminator)
    assert next(phases, None) is None


@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_the_gradient_reaches_every_parameter(upsample: str) -> None:
    """But for shifts that an instance norm takes out again."""
    method = system(upsample=upsample)
    for _, losses in method.training_losses(ad.batch_of()):
        torch.autograd.backward(losses["total"])
    assert ad.finite(method.networks)
    silent = ad.idle(method.networks)
    assert all(name.endswith("bias") for name in silent)
    last = len(method.networks["generator"]["to_art"].layers) - 1  # type: ignore[index]
    ends = {f"generator.{way}.layers.{last}.bias" for way in method.directions}
    ends |= {f"discriminator.{name}.{n}.bias" for name in ("art", "photo") for n in (0, 11)}
    assert ends <= {name for name, _ in method.networks.named_parameters()} - silent


def test_the_discriminators_see_the_fakes_made_before_the_update() -> None:
    method, batch = system(), ad.batch_of()
    with torch.no_grad():
        expected = method.translate(to_signed(batch.content), "to_art")
    phases = method.training_losses(batch)
    next(phases)
    with torch.no_grad():
        for weight in method.networks["generator"].parameters():
            weight.fill_(0.01)
    next(phases)
    torch.testing.assert_close(method.pools["art"].kept[0], expected[0])
    assert not method.pools["art"].kept[0].requires_grad


def test_each_discriminator_has_its_pool() -> None:
    method = system(pool=3)
    ad.optimise(method, (ad.batch_of(step=n) for n in range(2)))
    assert [len(method.pools[name].kept) for name in ("art", "photo")] == [2, 2]
    ad.optimise(method, (ad.batch_of(step=n) for n in range(2, 8)))
    art, photo = (torch.stack(method.pools[name].kept) for name in ("art", "photo"))
    assert len(art) == len(photo) == 3
    assert not torch.equal(art, photo)


def test_a_full_pool_shows_earlier_fakes() -> None:
    """What the discriminator is told then is about the pool's picture, not about the step's."""
    found = {}
    for pool in (0, 1):
        method = system(pool=pool)
        seen = []
        for step in range(12):
            losses = ad.losses_of(method, ad.batch_of(step=step))
            seen.append(losses["discriminator"]["discriminator_art"].item())
        found[pool] = seen
    different = [one != other for one, other in zip(found[0], found[1], strict=True)]
    assert not different[0]
    assert 2 <= sum(different) <= 10


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_a_few_steps_lower_the_losses(name: str) -> None:
    method = system(width=8, lr=1e-3, constant=1.0)
    totals = ad.optimise(method, [ad.batch_of()] * 12, only=name)[name]
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])


def test_curves_bear_the_usual_names(tmp_path: Path) -> None:
    one = ad.training(system(steps=1), tmp_path)
    list(one.run())
    names = [
        f"{loss}_{way}" for loss in ("gan", "cycle", "identity") for way in one.method.directions
    ]  # type: ignore[attr-defined]
    judged = {"discriminator_art", "discriminator_photo"}
    assert set(one.history) == {"step", "generator", "discriminator"} | set(names) | judged


def test_a_divided_batch_has_the_same_gradient() -> None:
    ad.check_divided(system)


def test_a_pool_keeps_float32_in_a_training_in_bfloat16() -> None:
    method = system()
    with torch.autocast("cpu", torch.bfloat16):
        ad.losses_of(method, ad.batch_of())
    assert method.pools["art"].kept[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"gan": "wgan"}, r"methods\.x\.gan: .*'lsgan'.*found 'wgan'"),
        ({"upsample": "bilinear"}, r"methods\.x\.upsample: .*found 'bilinear'"),
        ({"blocks": 0}, r"methods\.x\.blocks: .*greater than or equal to 1"),
        ({"pool": -1}, r"methods\.x\.pool: .*greater than or equal to 0"),
        ({"crop": 50}, r"methods\.x\.crop: .*multiple of 4"),
        ({"crop": None}, r"methods\.x\.crop: "),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(**overrides)


def test_the_defaults_are_the_papers() -> None:
    s = CycleGANSettings(steps=1)
    assert (s.blocks, s.width, s.pool, s.batch, s.load_size, s.crop) == (9, 64, 50, 1, 286, 256)
    assert (s.lr, s.beta1, s.constant, s.cycle_weight, s.identity_weight) == (
        2e-4,
        0.5,
        0.5,
        10,
        0.5,
    )
    weight = system(width=64).networks.get_parameter("discriminator.art.8.weight")
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)
