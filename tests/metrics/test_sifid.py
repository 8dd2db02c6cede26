"""Single-image Fréchet distance: its formula, its zero, and what the evaluation makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from atelier.core import images
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.pairwise import Pair, set_values
from atelier.metrics.reference import look_at
from atelier.metrics.sifid import LAYER, texture_distance, texture_sums
from support.nets import evaluator
from support.pictures import save


def positions(side: int, seed: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 5, side, side + 1, generator=generator)


def test_it_is_the_frechet_distance_of_all_positions() -> None:
    result, painting = positions(6, 0), positions(9, 1)  # of another size: no place has a partner
    found = texture_distance(texture_sums({LAYER: result}), texture_sums({LAYER: painting}))
    expected = [
        frechet_distance(*(maps[n].flatten(1).mT for maps in (painting, result))) for n in (0, 1)
    ]
    assert found.tolist() == pytest.approx(expected)
    assert found.min() > 0


def test_places_do_not_matter() -> None:
    seen = positions(8, 0)
    one, turned = (texture_sums({LAYER: maps}) for maps in (seen, seen.flip(2, 3)))
    assert texture_distance(one, turned).max() < 1e-9


def test_moved_by_a_constant_it_is_the_square_of_that() -> None:
    one = positions(8, 0)
    found = texture_distance(texture_sums({LAYER: one}), texture_sums({LAYER: one + 0.5}))
    assert found.tolist() == pytest.approx([5 * 0.5**2] * 2, rel=1e-5)


def test_a_copy_of_its_painting_is_at_zero_and_no_painting_has_none(tmp_path: Path) -> None:
    own = evaluator()
    paths = [save(tmp_path / f"{n}.png", n, (40, 32)) for n in range(3)]
    reference = look_at(own, paths)
    sets = [
        [Pair(paths[0], paths[1], "0.png"), Pair(paths[2], paths[1], "1.png")],
        [Pair(paths[0], paths[1], "0.png"), Pair(paths[2], paths[1], None)],
    ]
    (found, _), (without, _) = set_values(
        own.networks, sets, reference.styles, 2, own.embed, reference.textures
    )
    expected = [own.networks.perceptual(images.load(paths[n])[None])[LAYER] for n in (2, 1)]
    other = texture_distance(*(texture_sums({LAYER: maps}) for maps in expected))
    assert found["sifid"].tolist() == pytest.approx([0, other.item()], rel=1e-6, abs=1e-6)
    assert "sifid" not in without
    assert "sifid" not in own.score(replace(reference, textures={}), sets[0])
