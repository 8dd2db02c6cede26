"""U-GAT-IT: losses against formulas, whose step trains what, ρ, resuming, the sheets of samples."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.core.config import UserError
from atelier.methods.base import Extra, make
from atelier.methods.trained import Losses
from atelier.methods.ugatit import Ugatit, UgatitSettings, cam_loss
from atelier.nn.adalin import ILN, AdaILN
from atelier.nn.cam import jet
from atelier.nn.memory import layout
from atelier.nn.ugatit import Discriminator, Generator
from support import adversaries as ad
from support.steps import smooth
from support.tensors import count, weights

SMALL = {"width": 4, "discriminator_width": 4, "n_res": 1, "global_layers": 4, "local_layers": 3}
WAYS = ("to_art", "to_photo")
COLUMNS = ["1 input", "2 CAM of identity", "3 identity", "4 CAM of translation"]
COLUMNS += ["5 translation", "6 CAM of cycle", "7 cycle"]


def system(seed: int = 0, **overrides: Any) -> Ugatit:
    """Narrow and shallow; crops of 32 pixels."""
    block = {"class": "ugatit", "steps": 6, "crop": 32, "load_size": None, **SMALL, **overrides}
    found = make(block, "methods.x", seed=seed, device="cpu")
    assert isinstance(found, Ugatit)
    return found


def batch_of(step: int = 0, pictures: int = 2) -> Batch:
    content, style = smooth(pictures, 32, 32, step), smooth(pictures, 32, 32, step + 100)
    return Batch(step, 0, content, style, ("a",) * 2 * pictures)


def train(method: Ugatit, batches: Iterable[Batch]) -> list[dict[str, float]]:
    """One step per batch; the losses before each update."""
    optimizers, found = method.optimizers(), []
    for batch in batches:
        seen: dict[str, float] = {}
        for name, losses in method.training_losses(batch):
            optimizers[name].zero_grad()
            torch.autograd.backward(losses["total"])
            optimizers[name].step()
            seen |= {f"{name}.{key}": value.item() for key, value in losses.items()}
        found.append(seen)
    return found


def both(method: Ugatit, batch: Batch) -> tuple[Losses, Losses]:
    """Losses of both steps, without updates between."""
    (one, first), (two, second) = method.training_losses(batch)
    assert (one, two) == ("discriminator", "generator")
    return first, second


def generators(method: Ugatit) -> list[tuple[str, nn.Parameter]]:
    return list(method.networks["generator"].named_parameters())


def discriminators(method: Ugatit) -> list[tuple[str, nn.Parameter]]:
    return list(method.networks["discriminator"].named_parameters())


@pytest.mark.parametrize("light", [True, False])
def test_the_system_is_two_generators_and_four_discriminators(light: bool) -> None:
    """Their published sizes stand in test_ugatit_nets."""
    method, crop = system(light=light), None if light else 32
    parts: Any = method.networks
    each = [count(Generator(4, 1, crop))] * 2
    four = [count(Discriminator(4, layers)) for layers in (4, 3)] * 2
    assert [count(part) for part in parts["generator"].values()] == each
    assert [count(part) for part in parts["discriminator"].values()] == four
    assert list(parts["generator"]) == list(WAYS)
    names = ["global_photo", "local_photo", "global_art", "local_art"]
    assert list(parts["discriminator"]) == names
    assert method.card() == {"kind": "unpaired", "parameters_trained": sum(each) + sum(four)}
    assert count(method.inference_networks) == sum(each)


def test_the_defaults_are_the_authors() -> None:
    s = UgatitSettings(steps=1)
    assert (s.gan_weight, s.cycle_weight, s.identity_weight, s.cam_loss_weight) == (1, 10, 10, 1000)
    assert (s.batch, s.crop, s.load_size, s.flip, s.n_res) == (1, 256, 286, True, 4)
    for optimizer in system().optimizers().values():
        (group,) = optimizer.param_groups
        assert type(optimizer).__name__ == "Adam"
        assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 1e-4)


def test_the_rate_is_constant_for_half_the_steps() -> None:
    method = system(steps=100)
    rates = [method.lr_factor(step) for step in range(100)]
    assert rates[:50] == [1.0] * 50
    falls = torch.tensor(rates[49:]).diff()
    torch.testing.assert_close(falls, torch.full((50,), -1 / 51))


def naive_discriminators(method: Ugatit, batch: Batch) -> dict[str, Tensor]:
    """MODELS §5.3, one picture at a time; networks as they are (evaluation: no iteration)."""
    real = {"photo": 2 * batch.content - 1, "art": 2 * batch.style - 1}
    ways: Any = method.networks["generator"]
    fake = {"photo": ways["to_photo"](real["art"])[0], "art": ways["to_art"](real["photo"])[0]}
    found = {}
    for domain in ("photo", "art"):
        total = torch.zeros(())
        for scale in ("global", "local"):
            network: Any = method.networks["discriminator"][f"{scale}_{domain}"]  # type: ignore[index]
            for image, aim in ((real[domain], 1.0), (fake[domain], 0.0)):
                for part in network(image):
                    total = total + F.mse_loss(part, torch.full_like(part, aim))
        found[f"discriminator_{domain}"] = total
    return {"total": found["discriminator_photo"] + found["discriminator_art"], **found}


def naive_generators(method: Ugatit, batch: Batch) -> dict[str, Tensor]:
    ways: Any = method.networks["generator"]
    judges: Any = method.networks["discriminator"]
    photo, art = 2 * batch.content - 1, 2 * batch.style - 1
    found, total = {}, torch.zeros(())
    for way, back, start, aim, domain in (
        ("to_art", "to_photo", photo, art, "art"),
        ("to_photo", "to_art", art, photo, "photo"),
    ):
        fake, source, _ = ways[way](start)
        same, target, _ = ways[way](aim)
        parts = [*judges[f"global_{domain}"](fake), *judges[f"local_{domain}"](fake)]
        gan = sum(F.mse_loss(part, torch.ones_like(part)) for part in parts)
        cycle, identity = (ways[back](fake)[0] - start).abs().mean(), (same - aim).abs().mean()
        cam = -source.sigmoid().log().mean() - (1 - target.sigmoid()).log().mean()
        total = total + gan + 10 * cycle + 10 * identity + 1000 * cam
        names = (f"gan_{way}", f"cycle_{way}", f"identity_{way}", f"cam_{way}")
        found |= dict(zip(names, (gan, cycle, identity, cam), strict=True))
    return {"total": total, **found}


@pytest.mark.parametrize("cam_weight", ["effective", "original"])
def test_the_losses_are_those_of_a_naive_formula(cam_weight: str) -> None:
    method, batch = system(cam_weight=cam_weight), batch_of()
    method.networks.eval()  # else every pass improves the spectral norms a little
    with torch.no_grad():
        first, second = both(method, batch)
        expected = naive_discriminators(method, batch), naive_generators(method, batch)
    for found, naive in zip((first, second), expected, strict=True):
        assert found.keys() == naive.keys()
        for name, value in found.items():
            assert value.shape == ()
            torch.testing.assert_close(value, naive[name], rtol=1e-4, atol=1e-5, msg=name)


def test_weights_weigh_their_losses() -> None:
    overrides = {
        "gan_weight": 2.0,
        "cycle_weight": 3.0,
        "identity_weight": 5.0,
        "cam_loss_weight": 7.0,
    }
    with torch.no_grad():
        first, second = both(system(**overrides), batch_of())
    parts = zip((2, 3, 5, 7), ("gan", "cycle", "identity", "cam"), strict=True)
    total = sum(factor * second[f"{name}_{way}"] for factor, name in parts for way in WAYS)
    torch.testing.assert_close(second["total"], total)
    own = first["discriminator_art"] + first["discriminator_photo"]
    torch.testing.assert_close(first["total"], 2 * own)


def test_cam_loss_tells_sources_from_targets() -> None:
    sure = torch.full((2, 2), 20.0)
    assert cam_loss(sure, -sure) < 1e-6
    assert cam_loss(-sure, sure) == pytest.approx(40.0)
    even = cam_loss(torch.zeros(1, 2), torch.zeros(1, 2))
    torch.testing.assert_close(even, 2 * torch.tensor(2.0).log())


def test_each_step_has_gradients_in_its_own_networks_only() -> None:
    method = system()
    steps = method.training_losses(batch_of())
    for own, other in ((discriminators, generators), (generators, discriminators)):
        _, losses = next(steps)
        torch.autograd.backward(losses["total"])
        assert all(p.grad is None for _, p in other(method))
        for name, weight in own(method):
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.grad.abs().max() > 0, name
            weight.grad = None
    assert all(p.requires_grad for p in method.networks.parameters()), "frozen for the step only"


def test_original_cam_weights_learn_too() -> None:
    method = system(cam_weight="original")
    _, losses = next(method.training_losses(batch_of()))
    torch.autograd.backward(losses["total"])
    assert all(p.grad is not None and p.grad.abs().max() > 0 for _, p in discriminators(method))


def test_a_full_system_trains_every_weight() -> None:
    method = system(light=False)
    steps = method.training_losses(batch_of())
    for _ in range(2):
        _, losses = next(steps)
    torch.autograd.backward(losses["total"])
    assert all(p.grad is not None and p.grad.abs().max() > 0 for _, p in generators(method))


def test_rho_is_clamped_after_the_generators_update_not_before() -> None:
    method = system(lr=0.5)
    norms = [m for m in method.networks.modules() if isinstance(m, (AdaILN, ILN))]
    optimizers, outside = method.optimizers(), 0
    for name, losses in method.training_losses(batch_of()):
        torch.autograd.backward(losses["total"])
        optimizers[name].step()
        outside += sum(int(((m.rho < 0) | (m.rho > 1)).sum()) for m in norms)
    assert outside, "steps of 0.5 leave the range"
    assert len(norms) == 2 * (2 + 2)
    assert all(m.rho.min() >= 0 and m.rho.max() <= 1 for m in norms)


def test_the_engine_clamps_rho_too(tmp_path: Path) -> None:
    one = ad.training(system(batch=2, lr=0.05), tmp_path)
    for _ in one.run():
        for layer in one.method.networks.modules():
            if isinstance(layer, (AdaILN, ILN)):
                assert layer.rho.min() >= 0
                assert layer.rho.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("light", [True, False])
def test_the_generators_loss_falls(light: bool) -> None:
    batch = batch_of()
    found = train(system(lr=1e-3, light=light, gan_weight=0.0), [batch] * 12)
    for name in ("total", "cycle_to_art", "identity_to_photo", "cam_to_art"):
        losses = [one[f"generator.{name}"] for one in found]
        assert sum(losses[-3:]) < 0.95 * sum(losses[:3]), name


def test_the_discriminators_loss_falls() -> None:
    method, batch = system(lr=1e-3), batch_of()
    optimizer, totals = method.optimizers()["discriminator"], []
    for _ in range(12):
        _, losses = next(method.training_losses(batch))
        optimizer.zero_grad()
        torch.autograd.backward(losses["total"])
        optimizer.step()
        totals.append(losses["total"].item())
    assert sum(totals[-3:]) < 0.9 * sum(totals[:3])


def test_stylize_is_the_generator_to_art() -> None:
    method, content = system(), smooth(2, 32, 32).contiguous(memory_format=layout("cpu"))
    made: Any = method.networks["generator"]["to_art"](2 * content - 1)  # type: ignore[index]
    expected = (made.image.detach() + 1) / 2
    assert torch.equal(method.stylize(content, smooth(2)), expected)
    assert torch.equal(method.stylize(content, smooth(2, seed=5)), expected), "style is ignored"


def test_a_full_system_takes_pictures_of_its_crop_only() -> None:
    method = system(light=False)
    for size in ((32, 32), (31, 30)):  # the second is padded to the first
        assert method.stylize(smooth(1, *size), smooth(1)).shape == (1, 3, *size)
    with pytest.raises(UserError, match=r"pictures of 32×32 .*not 40×32; light: true takes any"):
        method.stylize(smooth(1, 32, 40), smooth(1))


def test_one_picture_a_step_is_enough() -> None:
    assert all(torch.tensor(list(train(system(), [batch_of(0, 1)])[0].values())).isfinite())


def test_the_two_ways_begin_with_weights_of_their_own() -> None:
    first, found = "generator.to_art.encoder.0.weight", weights(system().networks)
    assert not torch.equal(found[first], found[first.replace("to_art", "to_photo")])


def test_bfloat16_trains(tmp_path: Path) -> None:
    one = ad.training(system(batch=2, precision="bfloat16", steps=2), tmp_path)
    list(one.run())
    assert all(weight.dtype == torch.float32 for weight in one.method.networks.parameters())


def of_title(extras: Iterable[Extra], title: str) -> list[Extra]:
    return [extra for extra in extras if extra.title == title]


@pytest.mark.parametrize("size", [(32, 32), (50, 37)])
def test_the_sheets_have_the_authors_seven_pictures(size: tuple[int, int]) -> None:
    method = system()
    content, style = smooth(2, *size), smooth(2, *size, seed=1)
    extras = list(method.extras(["a", "b"], content, style))
    assert {extra.title for extra in extras} == set(WAYS)
    for title in WAYS:
        found = of_title(extras, title)
        assert [extra.column for extra in found] == COLUMNS * 2
        assert [extra.row for extra in found] == ["a"] * 7 + ["b"] * 7
    for extra in extras:
        assert extra.image.shape == (3, *size)
        assert extra.image.min() >= 0
        assert extra.image.max() <= 1


@pytest.mark.parametrize("way", WAYS)
def test_what_the_sheets_show(way: str) -> None:
    method, content, style = system(), smooth(1, 32, 32), smooth(1, 32, 32, seed=1)
    found = {e.column: e.image for e in of_title(method.extras(["a"], content, style), way)}
    back = "to_photo" if way == "to_art" else "to_art"
    image = content if way == "to_art" else style
    translated = method.apply(image, way)
    assert torch.equal(found["1 input"], image[0])
    assert torch.equal(found["3 identity"], method.apply(image, back)[0]), "into its own domain"
    assert torch.equal(found["5 translation"], translated[0])
    assert torch.equal(found["7 cycle"], method.apply(translated, back)[0])
    shown = ((2, "identity", image, back), (4, "translation", image, way))
    for n, name, seen, direction in (*shown, (6, "cycle", translated, back)):
        with torch.no_grad():
            made: Any = method.networks["generator"][direction](2 * seen - 1)  # type: ignore[index]
        heat = (made.heat - made.heat.min()) / (made.heat.max() - made.heat.min())
        heat = F.interpolate(heat, (32, 32), mode="bilinear")[:, 0]
        torch.testing.assert_close(found[f"{n} CAM of {name}"], jet(heat)[0])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"global_layers": 7}, "7 layers needs crops of 96 .*not 32: set .* to 5, or enlarge crop"),
        ({"local_layers": 6}, "6 layers needs crops of 48 pixels"),
        ({"crop": 50}, r"methods\.x\.crop: .*multiple of 4"),
        ({"cam_weight": 1000}, r"methods\.x\.cam_weight: .*'effective' or 'original'"),
        ({"width": 2}, r"methods\.x\.width: .*greater than or equal to 4"),
        ({"global_layers": 2}, r"methods\.x\.global_layers: .*greater than or equal to 3"),
        ({"cam_loss_weight": -1}, r"methods\.x\.cam_loss_weight: .*greater than or equal to 0"),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(**overrides)


def test_a_full_generator_refuses_other_sizes_before_it_is_trained() -> None:
    with pytest.raises(UserError, match="light: true takes any size"):
        system(light=False).check(64, 48)
    system(light=True).check(64, 48)
