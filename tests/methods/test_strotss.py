"""STROTSS: what a step computes, its sizes, its guidance, and independence of the neighbours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.optim import RMSprop

from atelier.core.config import UserError
from atelier.methods import strotss
from atelier.methods.base import make
from atelier.methods.strotss import Objective, Strotss
from atelier.nn.hypercolumns import Regions
from atelier.nn.laplacian_pyramid import detail
from atelier.nn.pretrained.features import Features
from support.nets import quick_random, random_features
from support.optimisation import LAYERS, check_gradients, run, small, total
from support.steps import smooth


def system(seed: int = 0, features: Features | None = None, **settings: Any) -> Strotss:
    return small(Strotss, seed, features, **settings)


def objective(alpha: float = 4.0, seed: int = 0, pair: Any = None, **settings: Any) -> Objective:
    method, pair = system(**settings), pair or (smooth(2), smooth(2, seed=1))
    draws = Generator().manual_seed(seed)
    return Objective(method.settings, method.features, pair, alpha, draws)


@pytest.mark.slow
def test_the_loss_falls() -> None:
    content, style = smooth(2, 48, 64), smooth(2, 40, 36, seed=1)
    found = run(system(steps=15, lr=0.01, last_lr=0.01), content, style)
    assert (total(found[-1]) < 0.7 * total(found[0])).all()
    assert set(found[0].losses) == {"total", "content", "transport", "moments", "colour"}


def test_two_runs_are_bit_identical_and_another_seed_samples_elsewhere() -> None:
    content, style = smooth(1, 32, 32), smooth(1, 32, 32, seed=1)
    before = torch.get_rng_state()
    one, same, other = (system(seed).stylize(content, style) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_losses_and_gradients_of_a_batch_are_those_of_its_pictures() -> None:
    content, style = smooth(3), smooth(3, seed=1)
    check_gradients(
        lambda which: objective(pair=(content[which], style[which])),
        smooth(3, seed=2),
        tolerance=1e-4,
    )


@pytest.mark.parametrize("alpha", [0.5, 16.0])
def test_the_total_is_the_papers_weighted_mean(alpha: float) -> None:
    found = objective(alpha)(smooth(2, seed=2))
    parts = alpha * found["content"] + found["moments"] + found["transport"]
    expected = (parts + found["colour"] / alpha) / (2 + alpha + 1 / alpha)
    torch.testing.assert_close(found["total"], expected)


def test_colours_can_have_a_weight_of_their_own() -> None:
    found = objective(16.0, colour_weight=0.5)(smooth(2, seed=2))
    parts = 16 * found["content"] + found["moments"] + found["transport"]
    torch.testing.assert_close(found["total"], (parts + 0.5 * found["colour"]) / 18.5)


@pytest.mark.slow
def test_the_photograph_has_no_content_loss_and_the_painting_no_other() -> None:
    pair = (smooth(1), smooth(1, seed=1))
    found = objective(pair=pair, samples=10_000)(pair[0])
    assert found["content"].item() == pytest.approx(0, abs=1e-3)
    assert found["transport"].item() > 1e-3
    found = objective(pair=pair, samples=10_000)(pair[1])
    assert found["content"].item() > 0.1
    for name in ("transport", "moments"):
        assert found[name].item() == pytest.approx(0, abs=1e-4)
    assert found["colour"].item() == pytest.approx(0, abs=3e-3), "the root's floor"


def test_losses_do_not_depend_on_the_scale_of_published_weights() -> None:
    """Caffe's VGG19 answers a hundred times as strongly as torchvision's."""

    class Strong(Features):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            return {name: 100 * layer for name, layer in super().forward(image).items()}

    net = random_features(*LAYERS, unit_activations=True)
    strong = Strong(net.name, net.network, net.hash, net.layers)
    one, other = (objective(features=f)(smooth(2, seed=2)) for f in (net, strong))
    torch.testing.assert_close(one, other)


def test_positions_are_drawn_anew_in_every_step() -> None:
    step = objective()
    one, other = step(smooth(2, seed=2)), step(smooth(2, seed=2))
    assert (one["transport"] != other["transport"]).all()


def test_alpha_is_halved_and_the_last_size_has_its_own_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alphas: list[float] = []
    rates: list[float] = []

    class Watched(Objective):
        def __init__(self, *args: Any, **overrides: Any) -> None:
            super().__init__(*args, **overrides)
            alphas.append(self.alpha)

    def watched(leaves: list[Tensor], lr: float) -> RMSprop:
        rates.append(lr)
        return RMSprop(leaves, lr=lr)

    monkeypatch.setattr(strotss, "Objective", Watched)
    monkeypatch.setattr(strotss, "RMSprop", watched)
    method = system(coarsest=32, steps=2, refine_steps=1)
    found = run(method, smooth(1, 128, 128), smooth(1, seed=1))
    assert alphas == [16, 8, 4]
    assert rates == [2e-3, 2e-3, 1e-3]
    assert [it.image.shape[2] for it in found] == [32, 32, 64, 128]
    assert method.steps(128, 128) == len(found) == 4


def test_the_published_sizes_and_steps() -> None:
    method = system(steps=200)
    assert method.steps(512, 512) == 800
    assert method.steps(256, 384) == 600
    assert method.steps(100, 100) == 200


def test_it_begins_with_the_photographs_detail_on_the_paintings_colour() -> None:
    content, style = smooth(1, 64, 64), smooth(1, 40, 56, seed=1)
    method = system(coarsest=32, steps=1, lr=1e-9, last_lr=1e-9)
    first, second = (it.image for it in run(method, content, style))
    small = F.interpolate(content, (32, 32), mode="bilinear")
    mean = style.mean((2, 3), keepdim=True)
    torch.testing.assert_close(first, (mean + detail(small)).clamp(0, 1), atol=1e-5, rtol=0)
    large = F.interpolate(mean + detail(small), (64, 64), mode="bilinear").clamp(0, 1)
    torch.testing.assert_close(second, large, atol=1e-5, rtol=0), "the last size adds no detail"


def test_bfloat16_keeps_the_losses_about_as_they_are() -> None:
    exact, rough = (objective(precision=p)(smooth(2, seed=2)) for p in ("float32", "bfloat16"))
    for name, loss in rough.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=0.1, atol=0.01)
    assert (rough["total"] != exact["total"]).all()


def halves(batch: int = 1) -> Tensor:
    """Masks of the left and the right half."""
    masks = torch.zeros(batch, 2, 32, 32)
    masks[:, 0, :, :16], masks[:, 1, :, 16:] = 1.0, 1.0
    return masks


def two_colours() -> Tensor:
    image = torch.zeros(1, 3, 32, 32)
    image[:, 0, :, :16], image[:, 2, :, 16:] = 0.8, 0.8
    return image


@pytest.mark.slow
def test_a_region_takes_the_look_of_its_partner() -> None:
    """A red and a blue half, guided straight and crosswise: the colours follow the masks."""
    content, style = smooth(1, 32, 32), two_colours()
    method = system(steps=60, lr=0.02, last_lr=0.02, content_weight=0.1, samples=256)
    straight, crossed = (
        list(method.guided(content, style, Regions(halves(), masks)))[-1].image
        for masks in (halves(), halves().flip(1))
    )
    for image, left in ((straight, 0), (crossed, 2)):
        reds = image[0, left, :, :14].mean() - image[0, 2 - left, :, :14].mean()
        blues = image[0, 2 - left, :, 18:].mean() - image[0, left, :, 18:].mean()
        assert reds > 0.1
        assert blues > 0.1


def test_masks_that_cover_nothing_guide_nothing() -> None:
    content, style = smooth(1, 32, 32), smooth(1, 32, 32, seed=1)
    method, nothing = system(), torch.zeros(1, 2, 8, 8)
    *_, free = method.guided(content, style, Regions(nothing, nothing))
    assert torch.equal(free.image, method.stylize(content, style))


def test_guidance_of_a_filled_batch_is_that_of_each_picture() -> None:
    content, style = smooth(2, 32, 32), smooth(2, 32, 32, seed=1)
    method = system(batch=2, fill_batch=True)
    *_, both = method.guided(content, style, Regions(halves(2), halves(2)))
    *_, first = method.guided(content[:1], style[:1], Regions(halves(), halves()))
    assert torch.equal(both.image[:1], first.image)


def test_masks_that_do_not_pair_are_refused() -> None:
    regions = Regions(halves(), halves()[:, :1])
    with pytest.raises(UserError, match=r"1 pictures need masks.*got \(1, 2\) and \(1, 1\)"):
        next(system().guided(smooth(1), smooth(1), regions))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"content_weight": 0}, r"methods\.strotss\.content_weight: .*greater than 0"),
        ({"coarsest": 16}, r"methods\.strotss\.coarsest: .*greater than or equal to 32"),
        ({"layers": []}, r"methods\.strotss\.layers: .*at least 1 item"),
        ({"layers": ["relu9_1"]}, r"random has no layer 'relu9_1'"),
        ({"sample": 3}, r"methods\.strotss\.sample: no such setting"),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any], message: str
) -> None:
    quick_random(monkeypatch)
    block = {"class": "strotss", "features": "random", **overrides}
    with pytest.raises(UserError, match=message):
        make(block, "methods.strotss", seed=0, device="cpu")


def test_the_published_hypercolumn_has_2179_features(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_random(monkeypatch)
    method = make({"class": "strotss", "features": "random"}, "x", seed=0, device="cpu")
    assert isinstance(method, Strotss)
    assert 3 + sum(method.features.channels.values()) == 2179
