"""Colour preservation: the painting gets the photograph's colours and keeps its drawing."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from atelier.nn.colour_transfer import keep_chroma, match_histogram, recolour


def picture(*shape: int, seed: int = 0) -> Tensor:
    """Colours that hang together a little, far enough from 0 and 1 that nothing is cut."""
    generator = Generator().manual_seed(seed)
    mix = 0.08 * torch.eye(3) + 0.02 * torch.randn(shape[0], 3, 3, generator=generator)
    drawn = torch.randn(shape, generator=generator).clamp(-2.5, 2.5)
    middle = 0.45 + 0.1 * torch.rand(shape[0], 3, 1, 1, generator=generator)
    return (torch.einsum("bij,bjhw->bihw", mix, drawn) + middle).clamp(0, 1)


def moments(image: Tensor) -> tuple[Tensor, Tensor]:
    flat = image.double().flatten(2)
    centred = flat - flat.mean(2, keepdim=True)
    return flat.mean(2), centred @ centred.mT / flat.shape[2]


def test_the_result_has_the_contents_mean_and_covariance() -> None:
    style, content = picture(2, 3, 31, 45), picture(2, 3, 50, 37, seed=1)
    found, wanted = moments(recolour(style, content)), moments(content)
    before = moments(style)
    for ours, theirs, own in zip(found, wanted, before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=1e-4)
        assert (own - theirs).norm() > 10 * (ours - theirs).norm()


def test_independent_colours_are_scaled_and_shifted_channel_by_channel() -> None:
    """With diagonal covariances the roots are those of the variances."""
    signs = torch.tensor([[1, 1, 1, 1, -1, -1, -1, -1], [1, 1, -1, -1] * 2, [1, -1] * 4]).float()
    pattern = signs.view(1, 3, 2, 4)  # orthogonal channels
    spread = torch.tensor([0.1, 0.2, 0.05]).view(1, 3, 1, 1)
    other = torch.tensor([0.2, 0.1, 0.15]).view(1, 3, 1, 1)
    found = recolour(0.5 + spread * pattern, 0.4 + other * pattern)
    torch.testing.assert_close(found, 0.4 + other * pattern, atol=2e-3, rtol=0)


def test_own_colours_change_nothing() -> None:
    image = picture(1, 3, 20, 33)
    torch.testing.assert_close(recolour(image, image), image, atol=1e-4, rtol=0)


def test_the_order_of_the_contents_pixels_does_not_matter() -> None:
    style, content = picture(1, 3, 9, 14), picture(1, 3, 12, 12, seed=1)
    turned = content.transpose(2, 3).flip(2)
    torch.testing.assert_close(recolour(style, content), recolour(style, turned))


@pytest.mark.parametrize("which", ["style", "content", "both"])
def test_pictures_of_one_colour(which: str) -> None:
    flat = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 7, 5)
    style = flat if which != "content" else picture(1, 3, 7, 5)
    content = picture(1, 3, 11, 6, seed=1) if which == "style" else flat.flip(1)
    found = recolour(style, content)
    assert found.isfinite().all()
    mean = content.mean((2, 3), keepdim=True).expand_as(found)
    spread = 0.0 if which != "content" else 0.02  # the diagonal's EPS leaves a little
    torch.testing.assert_close(found, mean, atol=1e-4 + spread, rtol=0)


def test_a_grey_photograph_makes_a_grey_painting() -> None:
    lightness = 0.2 + 0.6 * torch.rand(1, 1, 20, 20, generator=Generator().manual_seed(0))
    grey = lightness.expand(1, 3, 20, 20)
    found = recolour(picture(1, 3, 15, 18), grey)
    assert (found.amax(1) - found.amin(1)).max() < 0.03
    assert found.std() > 0.1


def test_the_result_stays_in_range_and_keeps_the_paintings_size() -> None:
    style = torch.rand(2, 3, 13, 8, generator=Generator().manual_seed(0)) ** 4
    content = (torch.rand(2, 3, 6, 9, generator=Generator().manual_seed(1)) > 0.5).float()
    found = recolour(style, content)
    assert found.shape == style.shape
    assert found.min() >= 0
    assert found.max() <= 1


def test_pictures_of_a_batch_do_not_mix() -> None:
    style, content = picture(3, 3, 9, 14), picture(3, 3, 12, 7, seed=1)
    together = recolour(style, content)
    for n in range(3):
        alone = recolour(style[n : n + 1], content[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone)


def test_a_histogram_is_matched_to_the_last_level() -> None:
    style, content = picture(2, 3, 9, 14), picture(2, 3, 14, 9, seed=1)
    found = match_histogram(style, content)
    assert torch.equal(found.flatten(2).sort(2).values, content.flatten(2).sort(2).values)
    assert torch.equal(found.flatten(2).argsort(2), style.flatten(2).argsort(2)), "drawing is kept"


def test_chroma_is_the_contents_and_luminance_the_results() -> None:
    """By the matrix of YIQ, as in the paper."""
    yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    result, content = (0.3 + 0.4 * picture(2, 3, 8, 9, seed=seed) for seed in (0, 1))
    found = keep_chroma(result, content)
    there, own, theirs = (torch.einsum("ij,bjhw->bihw", yiq, x) for x in (found, result, content))
    torch.testing.assert_close(there[:, :1], own[:, :1])
    torch.testing.assert_close(there[:, 1:], theirs[:, 1:])
    assert keep_chroma(torch.ones(1, 3, 4, 4), content[:1, :, :4, :4]).amax() <= 1
