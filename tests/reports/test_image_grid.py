"""What a contact sheet shows, read back from its pixels."""

import numpy as np
import pytest
from PIL import Image

from atelier.reports.image_grid import GREY, PAPER, contact_sheet

RED, BLUE = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")


def share(sheet: Image.Image, colour: str) -> int:
    wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    return int((np.asarray(sheet) == np.array(wanted)).all(axis=-1).sum())


def box_of(sheet: Image.Image, colour: str) -> tuple[int, int, int, int]:
    wanted = np.array(Image.new("RGB", (1, 1), colour).getpixel((0, 0)))
    ys, xs = np.nonzero((np.asarray(sheet) == wanted).all(axis=-1))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def test_every_picture_fills_its_cell_and_keeps_its_place() -> None:
    sheet = contact_sheet([[RED, BLUE], [BLUE, RED]], ["content", "style"], ["one", "two"], cell=64)
    assert share(sheet, "red") == share(sheet, "blue") == 2 * 64 * 64
    left, top, right, bottom = box_of(sheet, "red")
    assert sheet.getpixel((left, top)) == (255, 0, 0)
    assert sheet.getpixel((right - 1, top)) == (0, 0, 255)
    assert sheet.getpixel((left, bottom - 1)) == (0, 0, 255)
    assert sheet.width - right == sheet.height - bottom > 0


def test_labels_take_room_above_and_to_the_left() -> None:
    bare = contact_sheet([[RED]], [""], None, cell=64)
    heads = contact_sheet([[RED]], ["content"], None, cell=64)
    both = contact_sheet([[RED]], ["content"], ["photo"], cell=64)
    assert bare.width == heads.width < both.width
    assert bare.height < heads.height == both.height
    assert share(heads.crop((0, 0, heads.width, box_of(heads, "red")[1])), PAPER) > 0
    dark = np.asarray(both.crop((0, 0, box_of(both, "red")[0], both.height)).convert("L")) < 100
    assert dark.sum() > 20


@pytest.mark.parametrize("cell", [32, 192])
def test_no_label_leaves_the_sheet_or_covers_a_picture(cell: int) -> None:
    long = "adaptive attention normalisation improved_with_a_very_long_name"
    sheet = contact_sheet([[RED, RED]] * 2, [long, "Ågjq"], [long, "b"], cell=cell)
    assert share(sheet, "red") == 4 * cell * cell
    edge = np.asarray(sheet.convert("L"))
    assert (edge[0] == 255).all()
    assert (edge[:, 0] == 255).all()


def test_a_missing_picture_and_a_short_row_are_hatched() -> None:
    sheet = contact_sheet([[RED, None], [RED]], ["a", "b"], cell=64)
    assert share(sheet, "red") == 2 * 64 * 64
    assert share(sheet, GREY) > 64 * 64
    colours = sheet.crop((sheet.width - 66, sheet.height - 66, sheet.width, sheet.height))
    assert len(colours.getcolors() or []) >= 3


def test_a_wide_picture_is_shown_whole_and_makes_no_row_higher() -> None:
    wide = Image.new("RGB", (200, 100), "red")
    sheet = contact_sheet([[wide]], [""], cell=64)
    left, top, right, bottom = box_of(sheet, "red")
    assert (right - left, bottom - top) == (64, 32)
    assert left == top == sheet.height - bottom
    # beside a square one it stands in the middle; the rows below it begin where this one ends
    sheet = contact_sheet([[wide, BLUE], [wide, None]], ["", ""], ["one", "two"], cell=64)
    _, high, across, low = box_of(sheet, "blue")
    assert low - high == 64
    assert sheet.getpixel((across - 80, high + 15)) == sheet.getpixel((across - 80, low - 16))
    assert sheet.getpixel((across - 80, high + 16)) == (255, 0, 0)
    assert sheet.getpixel((across - 80, low + left)) == (255, 0, 0)
    assert sheet.height == low + left + 32 + left
    assert share(sheet, "red") == 2 * 64 * 32


def test_a_label_of_two_lines_makes_its_row_as_high() -> None:
    flat = Image.new("RGB", (640, 10), "red")
    bare, named = (
        contact_sheet([[flat]], [""], [label], cell=64) for label in ("", "one two " * 2)
    )
    assert bare.height < named.height
    _, top, _, bottom = box_of(named, "red")
    assert abs(top - (named.height - bottom)) <= 1


def test_transparent_and_grey_pictures_are_taken() -> None:
    sheet = contact_sheet([[Image.new("L", (8, 8), 7), Image.new("RGBA", (8, 8))]], ["a", "b"])
    assert sheet.mode == "RGB"


def test_a_sheet_that_cannot_be_laid_out_is_refused() -> None:
    with pytest.raises(ValueError, match="more pictures"):
        contact_sheet([[RED, RED]], ["one"])
    with pytest.raises(ValueError, match="1 row labels for 2 rows"):
        contact_sheet([[RED], [RED]], ["one"], ["a"])
    with pytest.raises(ValueError, match="too small"):
        contact_sheet([[RED]], ["one"], cell=3)
