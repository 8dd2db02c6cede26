"""Reference set: vectors, styles and the noise floor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from atelier.core import images
from atelier.core.config import UserError
from atelier.metrics.embeddings import Stack, embed_files
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.pairwise import Pair, made_pairs
from atelier.metrics.perceptual import perceive, style_distance
from atelier.metrics.reference import (
    load_reference,
    look_at,
    noise_floor,
    save_reference,
    with_others,
)
from support.nets import evaluator, random_features
from support.pictures import save


def normal(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_the_floor_compares_halves_that_share_no_painting() -> None:
    own = evaluator()
    vectors = normal(12, 5)
    found = noise_floor(own, vectors, seed=1)
    assert (found["n_reference"], found["n_generated"]) == (6, 6)
    assert found == noise_floor(own, vectors, seed=1) != noise_floor(own, vectors, seed=2)
    assert found["frechet"] > 0
    assert found["frechet_sd"] > 0
    # two copies of every painting: only halves that share none are never equal
    pairs = torch.arange(2.0).repeat_interleave(2)[:, None]
    seen = {round(noise_floor(own, pairs, seed=s)["frechet"], 6) for s in range(20)}
    assert len(seen) > 1


def test_too_few_paintings_have_no_floor() -> None:
    found = noise_floor(evaluator(), normal(3, 4))
    assert found == {"reason": "needs 4 paintings, there are 3"}


def test_the_floor_of_sets_of_one_kind_falls_with_their_size() -> None:
    own = evaluator()
    few, many = (noise_floor(own, normal(n, 8, n))["frechet"] for n in (20, 400))
    assert many < few / 4


def test_every_painting_is_looked_at_once(tmp_path: Path) -> None:
    sizes = [(40, 32), (40, 32), (48, 32)]
    paths = [save(tmp_path / f"{n}.png", n, size) for n, size in enumerate(sizes)]
    own = evaluator()
    found = look_at(own, paths)
    expected = embed_files(own.features, paths, device="cpu", batch=1)
    torch.testing.assert_close(found.vectors, expected, rtol=1e-4, atol=1e-5)
    assert list(found.styles) == ["0.png", "1.png", "2.png"]
    for path in paths:
        style = perceive(own.networks.perceptual, images.load(path)[None]).style[0]
        torch.testing.assert_close(found.styles[path.name], style, rtol=1e-4, atol=1e-5)


def test_the_floor_has_a_distance_to_the_held_out_paintings(tmp_path: Path) -> None:
    own, vectors = evaluator(), normal(12, 5)
    near, far = (noise_floor(own, vectors, held_out=normal(4, 5) + by) for by in (0, 9))
    plain = noise_floor(own, vectors)
    assert "held_out" not in plain
    assert {k: v for k, v in far.items() if k != "held_out"} == plain
    assert (far["held_out"]["n_reference"], far["held_out"]["n_generated"]) == (4, 6)
    assert far["held_out"]["frechet"] > near["held_out"]["frechet"] + 9


def test_held_out_paintings_are_a_second_set_beside_the_first(tmp_path: Path) -> None:
    own, path = evaluator(), tmp_path / "reference.safetensors"
    paintings = [save(tmp_path / f"{n}.png", n, (40, 32)) for n in range(6)]
    alone, both = look_at(own, paintings[:4]), look_at(own, paintings[:4], paintings[4:])
    save_reference(alone, own, tmp_path / "alone.safetensors")
    save_reference(both, own, path)
    again = load_reference(own, path)
    assert again.held_out is not None
    assert torch.equal(again.vectors, alone.vectors)
    assert torch.equal(again.held_out.vectors, look_at(own, paintings[4:]).vectors)
    assert again.names == [path.name for path in paintings]
    assert load_reference(own, tmp_path / "alone.safetensors").held_out is None
    assert b"held_out" not in (tmp_path / "alone.safetensors").read_bytes()
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"5.png")] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UserError, match="has changed since it was written"):
        load_reference(own, path)


def test_pictures_are_measured_against_both_sets(tmp_path: Path) -> None:
    own = evaluator()
    paintings = [save(tmp_path / f"{n}.png", n, (40, 32)) for n in range(6)]
    photos = [save(tmp_path / "photos" / f"{n}.png", 20 + n, (40, 32)) for n in range(3)]
    alone, both = look_at(own, paintings[:4]), look_at(own, paintings[:4], paintings[4:])
    pairs = [Pair(photo, photo, "0.png") for photo in photos]
    first, second = own.score(alone, pairs), own.score(both, pairs)
    unseen = second.pop("held_out")
    assert second == first, "the first reference set is what it is without the second"
    vectors = torch.cat([own.embed(Stack(images.load(path)[None])) for path in photos])
    held_out = look_at(own, paintings[4:])
    assert unseen["n_reference"] == 2
    assert unseen["frechet"] == pytest.approx(frechet_distance(held_out.vectors, vectors), rel=1e-4)
    # a pair may have a held-out painting; the mean style stays that of the first set
    other = own.score(both, [Pair(photo, photo, "5.png") for photo in photos])
    assert other["style"] != first["style"]
    assert other["style_set"] == first["style_set"]


@pytest.mark.parametrize("named", ["night", 5])
def test_a_painting_by_another_has_a_style_but_no_part_in_the_set(
    named: str | int, tmp_path: Path
) -> None:
    """As `fast_*` may have one; an index counts the artist's paintings, then those by others."""
    own = evaluator()
    paintings = [save(tmp_path / f"paintings/{n}.png", n, (40, 32)) for n in range(4)]
    others = [save(tmp_path / f"styles/{n}.png", 40 + len(n), (40, 32)) for n in ("a", "night")]
    for n in range(3):
        save(tmp_path / f"photos/{n}.png", 20 + n, (40, 32))
    photos, made = tmp_path / "photos", {str(n): named for n in range(3)}
    unseen = [save(tmp_path / f"unseen/{n}.png", 60 + n, (40, 32)) for n in (8, 9)]
    reference = look_at(own, paintings, unseen)
    more, names = with_others(own, reference, tmp_path / "styles", made)
    assert names == [path.name for path in (*paintings, *others, *unseen)]
    assert more.others is not None
    assert list(more.others.styles) == ["night.png"]
    scores = own.score(more, made_pairs(photos, photos, made, names))
    style = perceive(own.networks.perceptual, images.load(others[1])[None]).style
    results = torch.cat([images.load(path)[None] for path in images.find(photos)])
    seen = perceive(own.networks.perceptual, results).style
    assert scores["style"] == pytest.approx(float(style_distance(seen, style).mean()), rel=1e-4)
    plain = own.score(reference, made_pairs(photos, photos, dict.fromkeys(made, "0"), names))
    assert {scores[key] for key in ("n_reference", "frechet", "style_set")} == {
        plain[key] for key in ("n_reference", "frechet", "style_set")
    }
    same, _ = with_others(own, reference, tmp_path / "styles", dict.fromkeys(made, "0"))
    assert same is reference, "nothing more is looked at where nobody needs it"


def test_the_reference_comes_back_and_belongs_to_its_networks(tmp_path: Path) -> None:
    own, path = evaluator(), tmp_path / "reference.safetensors"
    reference = look_at(own, [save(tmp_path / f"ü {n}.png", n, (40, 32)) for n in range(3)])
    save_reference(reference, own, path)
    again = load_reference(own, path)
    assert torch.equal(again.vectors, reference.vectors)
    assert list(again.styles) == list(reference.styles)
    for name, style in reference.styles.items():
        assert torch.equal(again.styles[name], style)
        assert torch.equal(again.textures[name], reference.textures[name])
    other = replace(own, features=random_features("relu1_2"))
    with pytest.raises(UserError, match=r"relu2_1.*relu1_2.*run dvc repro reference"):
        load_reference(other, path)
    raw = bytearray(path.read_bytes())
    for at in (-3, raw.index(b"0.png")):  # a number, and a painting's name
        changed = bytearray(raw)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(UserError, match="has changed since it was written; remove "):
            load_reference(own, path)
    path.write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be read"):
        load_reference(own, path)
    with pytest.raises(UserError, match="cannot be read"):
        load_reference(own, tmp_path / "none.safetensors")
