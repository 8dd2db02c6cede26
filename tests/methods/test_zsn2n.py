"""The denoiser: formulas, independence of the pictures, and that it denoises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from atelier.core.config import UserError
from atelier.core.settings import LARGEST
from atelier.datasets.noise import gaussian
from atelier.datasets.synthetic.render import render_one
from atelier.methods.trained import seeded
from atelier.methods.zsn2n import Denoised, DenoiseSettings, Descent, denoise, picture_seed
from atelier.metrics.ssim import psnr
from atelier.nn import zsn2n as zsn2n_parts
from atelier.nn.zsn2n import Networks, network, pair_downsample, pair_view
from support.steps import smooth

SEEDS = [3, 4, 5]


def settings(**overrides: Any) -> DenoiseSettings:
    small = {"width": 8, "steps": 10, "fill_batch": False}
    return DenoiseSettings.build({**small, **overrides}, "denoise")


def noisy(batch: int = 3, height: int = 16, width: int = 16, sigma: float = 25) -> Tensor:
    return gaussian(smooth(batch, height, width), sigma, Generator().manual_seed(0))


def result(pictures: Tensor, seeds: Sequence[int], **overrides: Any) -> Denoised:
    *_, last = denoise(pictures, settings(**overrides), seeds)
    return last


@pytest.mark.parametrize(("channels", "expected"), [(3, 22_275), (1, 21_313)])
def test_parameters_of_the_paper(channels: int, expected: int) -> None:
    with torch.device("meta"):
        alone = network(channels, DenoiseSettings().width)
    assert sum(p.numel() for p in alone.parameters()) == expected


def test_parameters_of_a_batch() -> None:
    together = Networks([network(3, 48) for _ in SEEDS])
    assert sum(p.numel() for p in together.parameters()) == 3 * 22_275


@pytest.mark.parametrize("least", [0, 10**9])
def test_a_batch_of_networks_equals_each_alone(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether as one convolution with groups or, of large pictures, one after another.

    In float64: a value that rounding moves across the bend of a leaky ReLU changes the gradient.
    """
    monkeypatch.setattr(zsn2n_parts, "LARGE", least)
    alone = [network(3, 8).double() for _ in SEEDS]
    together = Networks(alone)
    pictures = torch.stack([smooth(3, 20, 24), smooth(3, 20, 24, seed=1)]).double()
    found = together(pictures)
    torch.autograd.backward(found.square().sum())
    for n, one in enumerate(alone):
        expected = one(pictures[:, n])
        torch.testing.assert_close(found[:, n], expected)
        torch.autograd.backward(expected.square().sum())
    gradients = zip(*(part.parameters() for part in alone), strict=True)
    for weight, parts in zip(together.weights, gradients, strict=True):
        torch.testing.assert_close(weight.grad, torch.cat([part.grad for part in parts]))


def test_down_samplers_are_the_papers_convolutions() -> None:
    image = torch.rand(2, 3, 9, 12, generator=Generator().manual_seed(0))
    kernels = torch.tensor([[[0, 0.5], [0.5, 0]], [[0.5, 0], [0, 0.5]]])
    for found, kernel in zip(pair_downsample(image), kernels, strict=True):
        expected = F.conv2d(image, kernel.expand(3, 1, 2, 2), stride=2, groups=3)
        assert found.shape == (2, 3, 4, 6)
        torch.testing.assert_close(found, expected)


def test_down_samplers_keep_an_even_colour() -> None:
    for half in pair_downsample(torch.full((1, 3, 8, 8), 0.37)):
        assert torch.equal(half, torch.full((1, 3, 4, 4), 0.37))


def test_down_samplers_share_no_pixel() -> None:
    """By their gradients; together they take every pixel but the odd row and column."""
    image = torch.rand(1, 1, 5, 7, requires_grad=True)
    first, second = (torch.autograd.grad(half.sum(), image)[0] for half in pair_downsample(image))
    assert not (first * second).any()
    taken = (first + second)[0, 0]
    assert torch.equal(taken[:4, :6], torch.full((4, 6), 0.5))
    assert not taken[4:].any()
    assert not taken[:, 6:].any()


def test_a_network_that_predicts_nothing() -> None:
    """Residual loss MSE(y1, y2), consistency loss 0, and the picture stays."""
    pictures = noisy()
    descent = Descent(pictures, settings(), SEEDS)
    with torch.no_grad():
        for weight in descent.networks.weights:
            weight.zero_()
    noise, losses = descent.look()
    first, second = pair_downsample(pictures)
    torch.testing.assert_close(losses["residual"], (first - second).square().mean((1, 2, 3)))
    assert not losses["consistency"].any()
    assert torch.equal(descent.cleaned(noise), pictures)


def test_losses_are_the_papers_of_every_picture_alone() -> None:
    pictures = noisy(height=15, width=18)
    _, losses = Descent(pictures, settings(), SEEDS).look()
    for n, seed in enumerate(SEEDS):
        with seeded(seed):
            f = network(3, 8)
        y = pictures[n : n + 1]
        y1, y2 = pair_downsample(y)
        p1, p2, p = y1 - f(y1), y2 - f(y2), y - f(y)
        d1, d2 = pair_downsample(p)
        residual = (F.mse_loss(p1, y2) + F.mse_loss(p2, y1)) / 2
        consistency = (F.mse_loss(p1, d1) + F.mse_loss(p2, d2)) / 2
        torch.testing.assert_close(losses["residual"][n], residual)
        torch.testing.assert_close(losses["consistency"][n], consistency)
        torch.testing.assert_close(losses["total"][n], residual + consistency)


def plain(picture: Tensor, f: nn.Sequential, steps: int) -> Tensor:
    """One picture (C, H, W), as the authors' notebook has it."""
    y, adam = picture.unsqueeze(0), torch.optim.Adam(f.parameters(), lr=1e-3)
    y1, y2 = pair_downsample(y)
    for _ in range(steps):
        p1, p2 = y1 - f(y1), y2 - f(y2)
        d1, d2 = pair_downsample(y - f(y))
        residual = (F.mse_loss(p1, y2) + F.mse_loss(p2, y1)) / 2
        consistency = (F.mse_loss(p1, d1) + F.mse_loss(p2, d2)) / 2
        adam.zero_grad()
        torch.autograd.backward(residual + consistency)
        adam.step()
    with torch.no_grad():
        return (y - f(y)).clamp(0, 1)[0]


def test_a_batch_equals_plain_code_picture_by_picture() -> None:
    """Up to rounding, which the steps amplify; without a step less they would differ by 0.01."""
    pictures = noisy(height=20, width=16)
    together = result(pictures, SEEDS, width=48, steps=12).image
    for n, seed in enumerate(SEEDS):
        with seeded(seed):
            f = network(3, 48)
        torch.testing.assert_close(together[n], plain(pictures[n], f, 12), atol=2e-4, rtol=0)


def test_gradients_are_those_of_a_picture_alone() -> None:
    """A mean over the batch would divide them, which Adam hides but for its epsilon."""
    pictures = noisy()
    together, alone = Descent(pictures, settings(), SEEDS), Descent(pictures[:1], settings(), [3])
    for descent in (together, alone):
        descent.update(descent.look()[1]["total"])
    for many, one in zip(together.networks.weights, alone.networks.weights, strict=True):
        assert many.grad is not None
        assert one.grad is not None
        assert one.grad.any()
        torch.testing.assert_close(many.grad[: len(one)], one.grad, atol=1e-6, rtol=1e-4)


def test_the_learning_rate_falls() -> None:
    """At decay 1e-6 after 3 steps the fourth moves nothing any more."""
    three, ten = (result(noisy(), SEEDS, steps=n, decay_every=3, decay=1e-6) for n in (3, 10))
    torch.testing.assert_close(three.image, ten.image, atol=1e-5, rtol=0)
    further = result(noisy(), SEEDS, steps=10)
    assert (further.image - three.image).abs().max() > 1e-3


@pytest.mark.parametrize("overrides", [{}, {"patience": 2}, {"precision": "bfloat16"}, {"crop": 8}])
def test_neighbours_change_nothing(overrides: dict[str, Any]) -> None:
    """At one batch size bit for bit, the last picture repeated where one is missing."""
    pictures = noisy()
    same = {"fill_batch": True, "batch": 3, **overrides}
    together = result(pictures, SEEDS, **same)
    other = result(pictures[[2, 0]], [5, 3], **same)
    assert torch.equal(other.image, together.image[[2, 0]])
    for name, losses in other.losses.items():
        assert torch.equal(losses, together.losses[name][[2, 0]])
    assert torch.equal(other.steps, together.steps[[2, 0]])


def test_the_seed_of_a_picture_decides() -> None:
    one = noisy(1)
    assert torch.equal(result(one, [1]).image, result(one, [1]).image)
    assert not torch.equal(result(one, [1]).image, result(one, [2]).image)
    state = torch.get_rng_state()
    result(one, [1], patience=5)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"


def test_picture_seeds() -> None:
    found = {picture_seed(name, seed) for name in ("a", "b", "a/b") for seed in (0, 1)}
    assert len(found) == 6
    assert picture_seed("a", 0) == picture_seed("a", 0)


@pytest.mark.slow
def test_noise_goes() -> None:
    """A view of the embedded sample at 64 px, σ = 25, 150 steps: at least 6 dB, found 7.3."""
    clean = torch.from_numpy(render_one(2026, 64, 1, 0)).permute(2, 0, 1).float().unsqueeze(0)
    worse = gaussian(clean, 25, Generator().manual_seed(0))
    better = result(worse, [0], width=48, steps=150)
    assert (psnr(better.image, clean) - psnr(worse, clean)).item() > 6


def test_a_crop_is_a_part_of_the_picture() -> None:
    """The losses of a window are those of the same pixels alone."""
    pictures = noisy(height=20, width=16)
    whole = Descent(pictures, settings(crop=8), SEEDS)
    rows, columns = window = whole.window()
    part = Descent(pictures[..., rows, columns].contiguous(), settings(), SEEDS)
    assert part.noisy.shape == (3, 3, 8, 8)
    for name, loss in whole.look(window)[1].items():
        assert torch.equal(loss, part.look()[1][name])


def test_windows_lie_everywhere_on_even_pixels() -> None:
    descent = Descent(noisy(height=13, width=16), settings(crop=7), SEEDS)
    windows = [descent.window() for _ in range(200)]
    assert {(rows.start, columns.start) for rows, columns in windows} == {
        (top, left) for top in (0, 2, 4, 6) for left in (0, 2, 4, 6, 8, 10)
    }
    assert {rows.stop - rows.start for rows, _ in windows} == {6}


def test_a_crop_denoises_the_whole_picture() -> None:
    """Every iterate is whole; a crop larger than the picture is the picture, up to odd sides."""
    seen = [it.image.shape for it in denoise(noisy(), settings(crop=4, steps=3), SEEDS, every=1)]
    assert seen == [(3, 3, 16, 16)] * 4
    assert torch.equal(result(noisy(), SEEDS, crop=99).image, result(noisy(), SEEDS).image)
    with pytest.raises(UserError, match="leave crop at null"):
        settings(crop=4, patience=3)


@pytest.mark.slow
def test_noise_goes_with_crops_too() -> None:
    """As below with a quarter of the pixels in each step: at least 5 dB, found 6.2."""
    clean = torch.from_numpy(render_one(2026, 64, 1, 0)).permute(2, 0, 1).float().unsqueeze(0)
    worse = gaussian(clean, 25, Generator().manual_seed(0))
    better = result(worse, [0], width=48, steps=150, crop=32)
    assert (psnr(better.image, clean) - psnr(worse, clean)).item() > 5


def test_iterates() -> None:
    """Every few steps and at the end; losses go down, and belong to the picture beside them."""
    seen = list(denoise(noisy(), settings(steps=45), SEEDS, every=20))
    assert [it.step for it in seen] == [0, 20, 40, 45]
    assert {it.total for it in seen} == {45}
    assert [it.steps.tolist() for it in seen] == [[0] * 3, [20] * 3, [40] * 3, [45] * 3]
    totals = torch.stack([it.losses["total"] for it in seen])
    assert totals.shape == (4, 3)
    assert (totals[:3].diff(dim=0) < 0).all()
    untrained = Descent(noisy(), settings(), SEEDS)
    assert torch.equal(seen[0].image, untrained.cleaned(untrained.look()[0]))
    short = result(noisy(), SEEDS, steps=20)
    assert torch.equal(seen[1].image, short.image)
    assert not any(it.image.requires_grad for it in seen)


@pytest.mark.parametrize("shape", [(1, 3, 17, 23), (2, 1, 15, 16), (1, 3, 4, 5)])
def test_any_size_and_grey(shape: tuple[int, int, int, int]) -> None:
    pictures = torch.rand(shape, generator=Generator().manual_seed(0))
    found = result(pictures, range(shape[0]), steps=3).image
    assert found.shape == shape
    assert 0 <= found.min() <= found.max() <= 1


def test_strength() -> None:
    pictures = noisy()
    none, half, all_ = (result(pictures, SEEDS, strength=s).image for s in (0, 0.5, 1))
    assert torch.equal(none, pictures)
    unclipped = (all_ > 0) & (all_ < 1)
    assert unclipped.float().mean() > 0.5
    torch.testing.assert_close(half[unclipped], ((none + all_) / 2)[unclipped])


def test_an_even_picture_stays_finite() -> None:
    for value in (0.0, 0.5, 1.0):
        last = result(torch.full((1, 3, 12, 12), value), [0], steps=30)
        assert last.image.isfinite().all()
        assert all(loss.isfinite().all() for loss in last.losses.values())


def test_bfloat16_is_nearly_the_same() -> None:
    exact, rough = (result(noisy(), SEEDS, precision=p) for p in ("float32", "bfloat16"))
    assert rough.image.dtype == torch.float32
    assert rough.losses["total"].dtype == torch.float32
    torch.testing.assert_close(rough.image, exact.image, atol=0.02, rtol=0)
    assert not torch.equal(rough.image, exact.image)


def test_held_out_positions_are_no_targets() -> None:
    """Of a network that predicts nothing: the two losses are means over disjoint positions."""
    pictures = noisy()
    descent = Descent(pictures, settings(patience=1, held_out=0.25), SEEDS)
    with torch.no_grad():
        for weight in descent.networks.weights:
            weight.zero_()
    _, losses = descent.look()
    first, second = pair_downsample(pictures)
    squares = (first - second).square().mean(1)
    for n, held in enumerate(descent.held):
        assert held.sum() == 16
        torch.testing.assert_close(losses["held_out"][n], squares[n][held].mean())
        torch.testing.assert_close(losses["residual"][n], squares[n][~held].mean())
    assert not torch.equal(*descent.held[:2]), "drawn by each picture's own seed"
    assert not losses["held_out"].requires_grad


def test_every_picture_ends_at_its_best() -> None:
    """At a large learning rate the held-out loss soon rises; the weights before that are taken."""
    overrides = {"steps": 60, "patience": 4, "lr": 0.02, "held_out": 0.2}
    watched = list(denoise(noisy(), settings(**overrides), SEEDS, every=1))
    last, held = watched[-1], torch.stack([it.losses["held_out"] for it in watched[:-1]])
    assert last.step == last.total == 60
    assert len(watched) < 60, "all have ended before the last step"
    assert len(set(last.steps.tolist())) > 1, "not all at the same one"
    for n, best in enumerate(last.steps.tolist()):
        assert (held[best, n] <= held[: best + 5, n]).all()
        assert torch.equal(last.image[n], watched[best].image[n])
        assert last.losses["held_out"][n] == held[best, n]


def test_patience_that_never_ends() -> None:
    """The best of all steps is taken, the last one included."""
    last = result(noisy(), SEEDS, steps=10, patience=100)
    assert last.steps.tolist() == [10] * 3
    without_watch = Descent(noisy(), settings(patience=100), SEEDS)
    for _ in range(10):
        without_watch.update(without_watch.look()[1]["total"])
    assert torch.equal(last.image, without_watch.cleaned(without_watch.look()[0]))


def test_presets() -> None:
    def schedule(**overrides: Any) -> tuple[int, int]:
        found = DenoiseSettings.build(overrides, "denoise")
        return found.steps, found.decay_every

    assert schedule() == schedule(preset="a") == (2000, 1500)
    assert schedule(preset="b") == (3000, 1000)
    assert schedule(preset="b", steps=7) == (7, 1000)


@pytest.mark.parametrize(
    "overrides", [{"preset": "c"}, {"preset": []}, {"strength": 2}, {"step": 1}]
)
def test_settings_that_are_wrong(overrides: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"denoise.{next(iter(overrides))}"):
        DenoiseSettings.build(overrides, "denoise")


def test_wrong_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="at least 4 px, got 16×3"):
        result(noisy(1, 3, 16), [0])
    with pytest.raises(ValueError, match="a seed for each picture"):
        result(noisy(2), [0])
    monkeypatch.setitem(LARGEST, "lr", 1e30)  # larger than a user can ask for
    with pytest.raises(UserError, match="lower lr"):
        result(noisy(1) * float("nan"), [0])


def test_views_of_the_pair() -> None:
    picture = noisy(1, 17, 16)[0]
    views = pair_view(picture, smooth(1, 17, 16)[0], gain=2)
    assert views["D1"].shape == views["D1 - D2"].shape == (3, 8, 8)
    first, second = pair_downsample(picture)
    torch.testing.assert_close(views["D1 - D2"], (0.5 + 2 * (first - second)).clamp(0, 1))
    assert torch.equal(pair_view(picture, picture)["removed"], torch.full_like(picture, 0.5))
    assert all(0 <= view.min() <= view.max() <= 1 for view in views.values())
