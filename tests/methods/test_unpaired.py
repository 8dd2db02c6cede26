"""What the systems with discriminators share: schedule, pool, freezing, warm start, round trips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Generator, Tensor, nn

from atelier.core.batches import Batch
from atelier.core.checkpoints import save_state, save_weights
from atelier.core.config import UserError
from atelier.methods.trained import Losses, seeded
from atelier.methods.unpaired import (
    ImagePool,
    Unpaired,
    UnpairedSettings,
    frozen,
    to_signed,
    to_unit,
)
from atelier.methods.warm_start import warm_up
from support import adversaries as ad
from support.steps import smooth
from support.tensors import equal, weights


class Small(Unpaired):
    """A 1×1 convolution for each direction, and one that judges art."""

    Settings = UnpairedSettings

    def __init__(self, settings: UnpairedSettings, seed: int, width: int = 3) -> None:
        self.settings, self.seed, self.device = settings, seed, "cpu"
        with seeded(seed):
            ways = nn.ModuleDict({way: nn.Conv2d(3, 3, 1) for way in ("to_art", "to_photo")})
            judge = nn.Conv2d(3, width, 1)
        self.networks = nn.ModuleDict({"generator": ways, "discriminator": judge})

    @classmethod
    def build(cls, settings: Any, *, seed: int, device: str) -> Self:  # noqa: ARG003
        return cls(settings, seed)

    def translate(self, image: Tensor, direction: str) -> Tensor:
        assert all(side % self.multiple == 0 for side in image.shape[2:])
        assert not self.networks.training
        made: Tensor = self.networks["generator"][direction](image)  # type: ignore[index]
        return made

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        judge, photo = self.networks["discriminator"], to_signed(batch.content)
        fake = self.networks["generator"]["to_art"](photo)  # type: ignore[index]
        with frozen(judge):
            loss = judge(fake).square().mean()
        yield "generator", {"total": loss}
        yield "discriminator", {"total": (judge(fake.detach()) - 1).square().mean()}


class OneSided(Small):
    directions = ("to_art",)


def settings(**overrides: Any) -> UnpairedSettings:
    return UnpairedSettings(**{"steps": 10, "crop": 32, "load_size": 36, **overrides})


def small(seed: int = 0, **overrides: Any) -> Small:
    return Small.build(settings(**overrides), seed=seed, device="cpu")


def pictures(first: int, count: int = 1) -> Tensor:
    """Pictures that are told apart by their value."""
    values = torch.arange(first, first + count, dtype=torch.float32)
    return values[:, None, None, None].expand(-1, 3, 2, 2).clone()


def test_ranges() -> None:
    unit = torch.tensor([0.0, 0.5, 1.0])
    assert to_signed(unit).tolist() == [-1, 0, 1]
    assert torch.equal(to_unit(to_signed(unit)), unit)


def test_the_schedule_is_flat_and_then_straight() -> None:
    """CycleGAN's, with steps for epochs: 1 - max(0, epoch + 1 - flat) / (decay + 1)."""
    method = small(steps=10, constant=0.6)
    found = [method.lr_factor(step) for step in range(10)]
    assert found == pytest.approx([1] * 6 + [0.8, 0.6, 0.4, 0.2])
    published = [1 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)]
    whole = small(steps=200)
    assert [whole.lr_factor(step) for step in range(200)] == pytest.approx(published)


@pytest.mark.parametrize(("constant", "first", "last"), [(1.0, 1.0, 1.0), (0.0, 10 / 11, 1 / 11)])
def test_the_schedules_ends(constant: float, first: float, last: float) -> None:
    method = small(constant=constant)
    assert method.lr_factor(0) == pytest.approx(first)
    assert method.lr_factor(9) == pytest.approx(last)


def test_the_schedule_is_followed(tmp_path: Path) -> None:
    one = ad.training(small(steps=4, lr=0.1, constant=0.25), tmp_path)
    rates = [[o.param_groups[0]["lr"] for o in one.optimizers.values()] for _ in one.run()]
    assert [rate for rate, _ in rates] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert all(one == other for one, other in rates)


def test_one_adam_for_each_network() -> None:
    method = small(lr=0.3, beta1=0.25)
    found = method.optimizers()
    assert list(found) == ["generator", "discriminator"]
    for name, optimizer in found.items():
        assert optimizer.defaults["lr"] == 0.3
        assert optimizer.defaults["betas"] == (0.25, 0.999)
        held = {id(w) for group in optimizer.param_groups for w in group["params"]}
        assert held == {id(w) for w in method.networks[name].parameters()}


def test_weight_decay_is_part_of_the_gradient() -> None:
    """At gradient 0 it alone moves a weight, by a full step of Adam."""
    method, weight = small(lr=0.1, weight_decay=0.01), nn.Parameter(torch.tensor([5.0]))
    optimizer = method.adam(iter([weight]))
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(4.9)


def test_a_pool_that_is_not_full_returns_what_it_gets() -> None:
    pool, generator = ImagePool(3), Generator().manual_seed(0)
    assert torch.equal(pool.query(pictures(0, 2), generator), pictures(0, 2))
    assert torch.equal(pool.query(pictures(2), generator), pictures(2))
    assert torch.equal(torch.stack(pool.kept), pictures(0, 3))


def test_a_full_pool_returns_an_old_picture_half_of_the_times() -> None:
    pool, generator = ImagePool(5), Generator().manual_seed(0)
    pool.query(pictures(0, 5), generator)
    old, ages = 0, []
    for n in range(5, 2005):
        before = {picture[0, 0, 0].item() for picture in pool.kept}
        shown = pool.query(pictures(n), generator)[0, 0, 0, 0].item()
        after = {picture[0, 0, 0].item() for picture in pool.kept}
        if shown == n:
            assert after == before
            continue
        old += 1
        ages.append(shown)
        assert after == before - {shown} | {n}, "the new one takes its place"
    assert old == pytest.approx(1000, abs=90)
    assert len(set(ages)) == len(ages)


def test_every_place_of_a_pool_is_as_likely() -> None:
    counts, generator = torch.zeros(4), Generator().manual_seed(1)
    pool = ImagePool(4)
    pool.query(pictures(0, 4), generator)
    for n in range(4, 2004):
        before = [picture[0, 0, 0].item() for picture in pool.kept]
        pool.query(pictures(n), generator)
        now = [picture[0, 0, 0].item() for picture in pool.kept]
        counts += torch.tensor([a != b for a, b in zip(before, now, strict=True)])
    assert counts.sum().item() == pytest.approx(1000, abs=90)
    assert (counts - counts.mean()).abs().max() < 60


def test_a_pool_of_size_none_lets_everything_through() -> None:
    pool, generator = ImagePool(0), Generator().manual_seed(0)
    for n in range(20):
        assert torch.equal(pool.query(pictures(n, 2), generator), pictures(n, 2))
    assert not pool.kept


def test_a_pool_keeps_copies_without_graph_and_draws_from_its_generator() -> None:
    def run() -> list[float]:
        pool, generator = ImagePool(2), Generator().manual_seed(7)
        return [pool.query(pictures(n), generator)[0, 0, 0, 0].item() for n in range(40)]

    state = torch.get_rng_state()
    assert run() == run()
    assert torch.equal(state, torch.get_rng_state()), "the global generator is not touched"
    pool, image = ImagePool(1), pictures(3).requires_grad_()
    shown = pool.query(image * 1, Generator())
    assert not shown.requires_grad
    assert not pool.kept[0].requires_grad
    shown.zero_()
    assert pool.kept[0].unique().item() == 3


def test_frozen_weights_get_no_gradient_but_let_it_through() -> None:
    layer, value = nn.Conv2d(3, 1, 1), smooth(1).requires_grad_()
    with frozen(layer):
        loss = layer(value).sum()
    loss.backward()
    assert ad.untouched(layer)
    assert value.grad is not None
    assert value.grad.abs().max() > 0
    assert all(weight.requires_grad for weight in layer.parameters())


def test_frozen_weights_thaw_when_something_fails() -> None:
    layer = nn.Conv2d(3, 1, 1)
    with pytest.raises(KeyError), frozen(layer):
        raise KeyError
    assert all(weight.requires_grad for weight in layer.parameters())


@pytest.mark.parametrize("size", [(48, 48), (50, 37), (9, 61), (5, 6)])
def test_transform_is_to_art_from_and_to_unit_range(size: tuple[int, int]) -> None:
    method, content = small(), smooth(2, *size)
    made = method.networks["generator"]["to_art"](2 * content - 1)  # type: ignore[index]
    expected = ((made + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(method.stylize(content, smooth(2, 20, 30)), expected)
    assert method.networks.training, "the former mode comes back"


def test_applied_are_the_generators() -> None:
    method = small()
    (name,) = method.inference_networks.keys()
    assert name == "generator"
    assert method.inference_networks["generator"] is method.networks["generator"]


def test_the_average_is_of_the_generators(tmp_path: Path) -> None:
    one = ad.training(small(ema=0.5), tmp_path)
    list(one.run())
    assert set(one.final_weights()) == set(one.method.inference_networks.state_dict())
    assert not equal(one.final_weights(), one.method.inference_networks.state_dict())


def test_round_trips() -> None:
    method, content, style = small(), smooth(2, 50, 37), smooth(2, 41, 20, seed=1)
    found = list(method.extras(["a", "b"], content, style))
    columns = ["1 input", "2 translated", "3 back"]
    assert [(e.title, e.row, e.column) for e in found] == [
        (title, row, c) for row in "ab" for title in ("to_art", "to_photo") for c in columns
    ]
    ways, (first, made, back) = method.networks["generator"], (e.image for e in found[9:])
    assert torch.equal(first, style[1])
    step = to_unit(ways["to_photo"](to_signed(style[1:]))).clamp(0, 1)  # type: ignore[index]
    torch.testing.assert_close(made, step[0])
    again = to_unit(ways["to_art"](to_signed(step))).clamp(0, 1)  # type: ignore[index]
    torch.testing.assert_close(back, again[0])
    assert not back.requires_grad


def test_a_one_sided_system_shows_one_way() -> None:
    found = OneSided(settings(), 0).extras(["a"], smooth(1, 50, 37), smooth(1))
    assert [(e.title, e.column) for e in found] == [
        ("to_art", "1 input"),
        ("to_art", "2 translated"),
    ]


def warmed(method: Unpaired) -> Unpaired:
    """As the engine does before a training."""
    warm_up(method)
    return method


@pytest.mark.usefixtures("root_here")
def test_a_warm_start_from_a_training_takes_all_networks(tmp_path: Path) -> None:
    one = small(seed=1)
    path = save_state(tmp_path, 3, {"networks": one.networks.state_dict()})
    assert equal(
        weights(warmed(small(seed=2, warm_start=str(path))).networks), weights(one.networks)
    )


@pytest.mark.usefixtures("root_here")
def test_a_warm_start_from_final_weights_takes_the_generators(tmp_path: Path) -> None:
    one, other, path = small(seed=1), small(seed=2), tmp_path / "model.safetensors"
    save_weights(one.inference_networks.state_dict(), path)
    warm = warmed(small(seed=2, warm_start=str(path)))
    assert equal(warm.inference_networks.state_dict(), one.inference_networks.state_dict())
    judges = [method.networks["discriminator"].state_dict() for method in (warm, other)]
    assert equal(*judges)


@pytest.mark.usefixtures("root_here")
def test_an_interrupted_training_resumes_from_its_checkpoint_not_from_the_warm_start(
    tmp_path: Path,
) -> None:
    path = save_state(tmp_path / "old", 3, {"networks": small(seed=1).networks.state_dict()})
    one = ad.stopped(ad.training(small(warm_start=str(path)), tmp_path), 2)
    kept = weights(one.method.networks)  # type: ignore[arg-type]
    again = small(warm_start=str(path))
    assert ad.training(again, tmp_path).step == 2
    assert equal(weights(again.networks), kept)


@pytest.mark.usefixtures("root_here")
def test_a_warm_start_that_cannot_be_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match=r"model\.safetensors: there is no such file to start from"):
        warmed(small(warm_start=str(path)))
    for name in ("model.safetensors", "step-00000001.pt"):
        (tmp_path / name).write_bytes(b"torn")
        with pytest.raises(UserError, match=f"{name}: not a readable weight file"):
            warmed(small(warm_start=str(tmp_path / name)))
    save_state(tmp_path, 2, {"step": 2})
    with pytest.raises(UserError, match=r"step-00000002\.pt: is not a checkpoint of a training"):
        warmed(small(warm_start=str(tmp_path / "step-00000002.pt")))
    save_weights({"other.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="does not fit these settings"):
        warmed(small(warm_start=str(path)))
    other = Small(settings(), 0, width=5)
    save_weights(other.networks.state_dict(), path)
    with pytest.raises(UserError, match=r"discriminator\.bias is missing or of another shape"):
        warmed(small(warm_start=str(path)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"crop": 50}, r"x\.crop: .*multiple of 4"),
        ({"crop": None}, r"x\.crop: .*whole number"),
        ({"beta1": 1.0}, r"x\.beta1: .*less than 1"),
        ({"constant": 1.5}, r"x\.constant: .*less than or equal to 1"),
        ({"load_size": 20}, r"x\.load_size: .*greater than or equal to 32"),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        UnpairedSettings.build({"steps": 1, **overrides}, "x")


@pytest.mark.usefixtures("root_here")
@pytest.mark.parametrize("path", ["../model.safetensors", "/etc/model.safetensors"])
def test_a_warm_start_lies_in_the_project(path: str) -> None:
    with pytest.raises(UserError, match="leads out of"):
        warmed(small(warm_start=path))
