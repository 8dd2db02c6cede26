"""Strips of a photograph of one's own are those that the method draws in the bench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atelier.core import images
from atelier.core.config import Params, UserError
from atelier.methods.trained import SHARES
from atelier.serving.look import Look
from atelier.serving.strips import CELL, strip
from atelier.serving.stylizer import Applied, load_applied
from support.models import project
from support.pictures import ramp

PHOTO, STYLE, OTHER = ramp(CELL, CELL), ramp(60, 90, 3), ramp(64, 64, 8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("strips"), "adain", "cut")


def load(root: Path, name: str) -> Applied:
    return load_applied(root, Params.load(root / "params.yaml"), name)


def cells(sheet: Image.Image, rows: int, columns: int) -> list[list[np.ndarray]]:
    """The cells of a sheet, whose margins are on its right and below."""
    gap = CELL // 24
    left, top = sheet.width - columns * (CELL + gap), sheet.height - rows * (CELL + gap)
    assert left >= 0
    assert top >= 0
    whole = np.asarray(sheet)
    return [
        [
            whole[top + r * (CELL + gap) :, left + c * (CELL + gap) :][:CELL, :CELL]
            for c in range(columns)
        ]
        for r in range(rows)
    ]


@pytest.mark.slow
def test_strengths_and_mixtures_are_those_of_single_pictures(root: Path) -> None:
    applied = load(root, "adain")
    strengths, mixtures = cells(strip(applied, PHOTO, [(STYLE, 9), (OTHER, 1)]), 2, len(SHARES))
    for share, one, mixed in zip(SHARES, strengths, mixtures, strict=True):
        alone = applied.stylize(PHOTO, STYLE, Look(strength=share))
        both = applied.stylize(PHOTO, [(STYLE, 1 - share), (OTHER, share)])
        assert (one == np.asarray(alone)).all()
        assert (mixed == np.asarray(both)).all()


def test_one_painting_has_no_mixtures(root: Path) -> None:
    assert len(cells(strip(load(root, "adain"), PHOTO, STYLE), 1, len(SHARES))) == 1


def test_an_unpaired_system_shows_the_way(root: Path) -> None:
    applied = load(root, "cut")
    ((given, made),) = cells(strip(applied, PHOTO), 1, 2)
    assert (given == np.asarray(PHOTO)).all()
    assert (made == np.asarray(applied.stylize(PHOTO))).all()


def test_what_has_no_strip_says_so(root: Path) -> None:
    with pytest.raises(UserError, match="gatys has no strip: neither a strength nor a way back"):
        strip(load(root, "gatys"), PHOTO, STYLE)
    mask = images.resize(PHOTO, 32, "fit")
    with pytest.raises(UserError, match="leave the mask out"):
        strip(load(root, "adain"), PHOTO, [(STYLE, 1), (OTHER, 1)], Look(mask=mask))
