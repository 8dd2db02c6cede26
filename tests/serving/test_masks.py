"""What masks mean: shares of paintings, and greys that pair regions of photograph and painting."""

from __future__ import annotations

from io import BytesIO

import pytest
import torch
from PIL import Image
from torch import Tensor

from atelier.core.config import UserError
from atelier.serving.masks import TOLERANCE, guidance, paired_greys, regions

BLACK_AND_WHITE = [(0, 0), (255, 255)]


def stripes(*greys: int, size: tuple[int, int] = (96, 40)) -> Image.Image:
    """Upright stripes of equal width, from the left."""
    mask = Image.new("L", size)
    for n, grey in enumerate(greys):
        mask.paste(grey, (n * size[0] // len(greys), 0, size[0], size[1]))
    return mask


def as_jpeg(mask: Image.Image, quality: int) -> Image.Image:
    kept = BytesIO()
    mask.convert("RGB").save(kept, "JPEG", quality=quality)
    return Image.open(kept)


def areas(mask: Image.Image, other: Image.Image) -> Tensor:
    """Regions of the photograph, (R, H, W), in the mask's size."""
    return guidance(mask, other, mask.size, other.size).content[0]


def test_shares_sum_to_one_and_a_grey_is_a_paintings_own() -> None:
    mask = Image.new("L", (3, 1))
    for place, grey_level in enumerate((0, 128, 255)):
        mask.putpixel((place, 0), grey_level)
    found = regions(mask, (3, 1), 3)
    assert found.shape == (3, 1, 1, 1, 3)
    torch.testing.assert_close(found.sum(0), torch.ones(1, 1, 1, 3))
    torch.testing.assert_close(found[:, 0, 0, 0], torch.eye(3), atol=0.01, rtol=0)


def test_a_region_is_where_both_masks_have_its_grey() -> None:
    mask, style_mask = stripes(255, 0, 128), stripes(128, 255, 0, 0, size=(80, 30))
    found = guidance(mask, style_mask, (200, 200), (200, 200))
    assert found.content.shape == (1, 3, 40, 96)
    assert found.style.shape == (1, 3, 30, 80)
    for region, (own, style) in enumerate(((32, 40), (64, 0), (0, 20))):  # of 0, 128 and 255
        width = 40 if region == 0 else 20
        assert found.content[0, region, :, own : own + 32].all()
        assert found.style[0, region, :, style : style + width].all()
        assert found.content[0, region].sum() == 40 * 32
        assert found.style[0, region].sum() == 30 * width


def test_a_mask_is_shrunk_to_its_picture_without_new_greys() -> None:
    found = guidance(stripes(0, 255), stripes(0, 255), (17, 9), (500, 20))
    assert found.content.shape == (1, 2, 9, 17)
    assert found.style.shape == (1, 2, 20, 500)
    assert (found.content.sum(1) == 1).all()
    assert (found.style.sum(1) == 1).all()


@pytest.mark.parametrize("quality", [30, 50, 75])
def test_a_jpeg_has_the_greys_of_its_picture(quality: int) -> None:
    mask = stripes(0, 100, 255, size=(300, 200))
    lossy = as_jpeg(mask, quality)
    pairs = paired_greys(mask, lossy)
    assert [own for own, _ in pairs] == [0, 100, 255]
    assert all(abs(own - style) <= TOLERANCE for own, style in pairs)
    exact, found = areas(mask, lossy), areas(lossy, mask)
    assert len(lossy.convert("L").getcolors()) > 3
    assert (exact == found).all(0).float().mean() > 0.97


def test_smoothed_edges_are_no_region_and_in_none() -> None:
    hard = stripes(0, 255, size=(400, 300))
    smooth = hard.resize((200, 150)).resize((400, 300), Image.Resampling.BICUBIC)
    between = [n for n, grey in smooth.getcolors() if TOLERANCE < grey < 255 - TOLERANCE]
    assert between, "there are such edges"
    assert paired_greys(hard, smooth) == BLACK_AND_WHITE
    assert (areas(smooth, hard).sum(0) == 0).sum() == sum(between)


def test_what_covers_a_hundredth_counts() -> None:
    mask, size = stripes(0, 255, size=(100, 100)), (99, 1)
    mask.paste(128, (0, 0, *size))
    assert paired_greys(mask, stripes(0, 255)) == BLACK_AND_WHITE
    mask.paste(128, (0, 0, size[0] + 1, 1))
    with pytest.raises(UserError, match="the painting's mask lacks grey 128 "):
        paired_greys(mask, stripes(0, 255))


def test_greys_are_one_up_to_the_tolerance() -> None:
    near, far = stripes(0, 239), stripes(0, 238)
    assert paired_greys(stripes(0, 255), near) == [(0, 0), (255, 239)]
    assert paired_greys(stripes(0, 255, 239, 255), stripes(0, 255)) == BLACK_AND_WHITE
    with pytest.raises(UserError, match=r"the painting's mask lacks grey 255 and the photograph's"):
        paired_greys(stripes(0, 255), far)


def test_a_pixel_belongs_to_the_nearest_grey() -> None:
    mask = stripes(100, 100, 120, 120, size=(100, 100))
    mask.paste(109, (0, 0, 50, 1))
    mask.paste(111, (0, 1, 50, 2))
    found = areas(mask, stripes(100, 120))
    assert found[:, 0, :50].mean(1).tolist() == [1, 0]
    assert found[:, 1, :50].mean(1).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("own", "style", "message"),
    [
        ((0, 90, 255), (0, 255), r"^the painting's mask lacks grey 90 \(0 black, 255 white\), whi"),
        ((0, 255), (0, 90, 255), r"^the photograph's mask lacks grey 90 \("),
        ((0, 60, 120), (0, 255), r"painting's mask lacks grey 60, 120 and the photograph's .* 255"),
        ((255,), (0,), r"painting's mask lacks grey 255 and the photograph's mask lacks grey 0 "),
        ((255,), (250,), r"both masks are of one grey, 255, which guides nothing; paint a second"),
    ],
)
def test_masks_that_do_not_pair_are_refused(
    own: tuple[int, ...], style: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        guidance(stripes(*own), stripes(*style), (64, 64), (64, 64))
