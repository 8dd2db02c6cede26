"""Colours moved to a palette: Oklab and back, moments, edges, grey paintings."""

from __future__ import annotations

import pytest
import torch

from atelier.nn.palette import _filtered, _match_moments, from_oklab, match_palette, to_oklab
from support.steps import smooth
from support.tensors import uniform


def test_oklab_of_white_black_and_grey() -> None:
    levels = torch.tensor([1.0, 0.0, 0.125]).view(3, 1, 1, 1).expand(3, 3, 1, 1)
    found = to_oklab(levels)[:, :, 0, 0]
    expected = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0.5, 0, 0]])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_oklab_of_linear_red_as_published() -> None:
    """Ottosson's page: L 0.628, a 0.225, b 0.126."""
    found = to_oklab(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))[0, :, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.628, 0.225, 0.126]), atol=1e-3, rtol=0)


def test_oklab_and_back() -> None:
    image = uniform(2, 3, 9, 7)
    torch.testing.assert_close(from_oklab(to_oklab(image)), image, atol=1e-4, rtol=0)


def test_moments_are_matched() -> None:
    source, target = uniform(2, 2, 30, 30), 0.3 * uniform(2, 2, 20, 20, seed=1) + 0.1
    found = _match_moments(source, target).flatten(2)
    wanted = target.flatten(2)
    torch.testing.assert_close(found.mean(2), wanted.mean(2))
    for n in range(2):
        ours, theirs = torch.cov(found[n], correction=0), torch.cov(wanted[n], correction=0)
        torch.testing.assert_close(ours, theirs, atol=3e-4, rtol=0)


def test_the_filter_keeps_edges_of_the_lightness() -> None:
    light = torch.zeros(1, 1, 8, 8)
    light[..., 4:] = 1.0
    colours = uniform(1, 2, 8, 8)
    found = _filtered(colours, light)
    assert found[..., :4].std() < 0.5 * colours[..., :4].std()
    flat = torch.zeros(1, 2, 8, 8)
    flat[..., 4:] = 1.0
    assert (_filtered(flat, light) - flat).abs().max() < 1e-3, "nothing leaks over the edge"
    torch.testing.assert_close(_filtered(torch.ones(1, 2, 8, 8), uniform(1, 1, 8, 8)), flat * 0 + 1)


def test_the_result_has_the_outputs_lightness_and_the_paintings_colours() -> None:
    output, content, style = smooth(2), smooth(2, seed=1), smooth(2, 40, 56, seed=2)
    found, light = to_oklab(match_palette(output, content, style)), to_oklab(output)
    wanted = to_oklab(style)
    inside = (light[:, :1] < wanted[:, :1].amax()) & (light[:, :1] > wanted[:, :1].amin())
    assert ((found[:, :1] - light[:, :1]).abs() < 0.05)[inside].float().mean() > 0.8
    means = [part[:, 1:].flatten(2).mean(2) for part in (found, wanted)]
    torch.testing.assert_close(*means, atol=0.03, rtol=0)


def test_a_grey_painting_gives_a_grey_picture() -> None:
    grey = smooth(1, seed=3).mean(1, keepdim=True).expand(1, 3, -1, -1)
    found = match_palette(smooth(1), smooth(1, seed=1), grey)
    assert (found - found.mean(1, keepdim=True)).abs().max() < 0.03


@pytest.mark.parametrize("which", [0, 1, 2])
def test_pictures_of_one_colour_stay_finite(which: int) -> None:
    images = [smooth(1), smooth(1, seed=1), smooth(1, seed=2)]
    images[which] = torch.full((1, 3, 48, 48), 0.4)
    found = match_palette(*images)
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1
