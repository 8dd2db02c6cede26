"""Scoring a set of pictures: networks by name, features of files, one record with all it needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from atelier.core import images
from atelier.core.config import UserError
from atelier.metrics import evaluator as scoring
from atelier.metrics import frechet as frechet_file
from atelier.metrics.embeddings import ahead, embed_files
from atelier.metrics.evaluator import (
    EvaluateSettings,
    Evaluator,
    bounds,
    distances,
    evaluation_features,
    labelled,
)
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.jackknife import frechet_interval, means_left_out
from atelier.metrics.kid import kernel_distance
from atelier.metrics.measures import PerceptualNetworks
from atelier.metrics.pairwise import Pair, made_pairs, painting_named, pair_values
from atelier.metrics.perceptual import (
    content_distance,
    perceive,
    set_style_distance,
    style_distance,
)
from atelier.metrics.reference import look_at
from atelier.metrics.ssim import ssim
from atelier.nn.pretrained.features import Features
from support.nets import Difference, evaluator, quick_random, random_features
from support.pictures import save


def pair_scores(*arguments: Any) -> dict[str, float]:
    """Means of what is measured of pairs."""
    return {name: values.mean().item() for name, values in pair_values(*arguments).items()}


def pictures(folder: Path, seeds: range, size: tuple[int, int] = (40, 32)) -> list[Path]:
    return [save(folder / f"{seed:02d}.png", seed, size) for seed in seeds]


def test_embeddings_keep_the_order_and_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    net = random_features("relu2_1")
    paths = [
        *pictures(tmp_path, range(3)),
        save(tmp_path / "wide.png", 3, (48, 32)),
        save(tmp_path / "last.png", 4, (40, 32)),
    ]
    expected = torch.cat([net.embed(images.load(path)[None]) for path in paths])
    for batch in (1, 2, 16):
        found = embed_files(net, paths, device="cpu", batch=batch)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_no_pictures_and_unreadable_ones_are_errors(tmp_path: Path) -> None:
    net = random_features("relu2_1")
    with pytest.raises(UserError, match="no pictures to measure"):
        embed_files(net, [], device="cpu", batch=4)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"broken\.png"):
        embed_files(net, [tmp_path / "broken.png"], device="cpu", batch=4)


def test_the_next_batches_are_loaded_ahead_in_order() -> None:
    loaded: list[int] = []

    def load(n: int) -> int:
        loaded.append(n)
        return n * n

    found = ahead(load, range(9))
    assert next(found) == 0
    assert list(found) == [n * n for n in range(1, 9)]
    assert loaded == list(range(9))


def test_sets_larger_than_their_dimension_are_scored_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(30, 6, generator=draw), torch.randn(40, 6, generator=draw) + 1
    assert distances(a, b)["frechet"] == pytest.approx(frechet_distance(a, b), rel=1e-6)
    assert distances(a[:5], b)["frechet"] == frechet_distance(a[:5], b)
    monkeypatch.setattr(frechet_file, "frechet_distance", lambda *_: -1.0)
    assert distances(a, b)["frechet"] > 0, "by covariances"
    assert distances(a[:5], b)["frechet"] == -1


def test_bounds_need_pictures_enough() -> None:
    draw = torch.Generator().manual_seed(0)
    vectors = [torch.randn(n, 6, generator=draw) for n in (40, 2, 20, 30)]
    found = [set(bounds(vectors[0], generated)) for generated in vectors[1:]]
    enough = {
        *("frechet_se", "frechet_low", "frechet_high", "left_out"),
        *("precision", "recall", "density", "coverage"),
    }
    assert found == [{"density", "coverage"}, enough, enough | {"frechet_inf", "frechet_inf_se"}]


def test_numbers_carry_the_name_of_their_network() -> None:
    record = {"frechet": 1, "kid": 0.5, "content": 2.0, "features": "mini", "perceptual": "vgg19"}
    assert labelled({**record, "ssim": 0.25, "style": 3.0}, "denoised.") == {
        "denoised.frechet_mini": 1.0,
        "denoised.kid_mini": 0.5,
        "denoised.content_vgg19": 2.0,
        "denoised.style_vgg19": 3.0,
        "denoised.ssim": 0.25,
    }


def make_pairs(root: Path, count: int = 3, painting: str | None = "00.png") -> list[Pair]:
    made, photos = (pictures(root / name, range(k, k + count)) for name, k in (("m", 5), ("p", 9)))
    return [Pair(m, p, painting) for m, p in zip(made, photos, strict=True)]


def test_a_score_names_all_it_depends_on(tmp_path: Path) -> None:
    own = evaluator()
    reference = look_at(own, pictures(tmp_path / "paintings", range(4)))
    pairs = make_pairs(tmp_path)
    found = own.score(reference, pairs)
    vectors = embed_files(own.features, [p.picture for p in pairs], device="cpu", batch=8)
    assert found.pop("frechet") == pytest.approx(frechet_distance(reference.vectors, vectors))
    kernel = kernel_distance(reference.vectors, vectors)
    assert {key: found.pop(key) for key in kernel} == kernel
    interval = frechet_interval(reference.vectors, vectors)
    left_out = found.pop("left_out")
    assert {key: found.pop(key) for key in interval if key != "left_out"} == {
        key: value for key, value in interval.items() if key != "left_out"
    }
    values = pair_values(own.networks, pairs, reference.styles, 8, reference.textures)
    assert {key: found.pop(key) for key in values} == {
        k: v.mean().item() for k, v in values.items()
    }
    means = {key: means_left_out(value) for key, value in values.items()}
    assert left_out == interval["left_out"] | means
    assert found == {
        "features": "random",
        "features_hash": own.features.hash,
        "layer": "relu2_1",
        "perceptual": "random",
        "perceptual_hash": own.networks.perceptual.hash,
        "n_reference": 4,
        "n_generated": 3,
    }


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_pairs_are_compared_one_by_one_whatever_the_batch(tmp_path: Path, batch: int) -> None:
    """Means of what the formulas give for every pair, of different sizes."""
    own, pairs = evaluator(), make_pairs(tmp_path)
    wide = [save(tmp_path / f"wide_{n}.png", n, (48, 36)) for n in (20, 21)]
    pairs.append(Pair(wide[0], wide[1], "01.png"))
    styles = look_at(own, pictures(tmp_path / "paintings", range(3))).styles
    found = pair_scores(own.networks, pairs, styles, batch)
    rows = []
    for pair in pairs:
        result, photo = (images.load(path)[None] for path in (pair.picture, pair.photo))
        seen, original = (perceive(own.networks.perceptual, picture) for picture in (result, photo))
        row = {"content": content_distance(seen, original), "ssim": ssim(result, photo)}
        row["style"] = style_distance(seen.style, styles[pair.painting or ""][None])
        row["style_set"] = set_style_distance(seen.style, torch.stack(list(styles.values())))
        rows.append({key: value.item() for key, value in row.items()})
    means = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
    assert {key: found[key] for key in means} == pytest.approx(means, rel=1e-4)


def test_an_untouched_photograph_keeps_everything(tmp_path: Path) -> None:
    own = evaluator()
    styles = look_at(own, pictures(tmp_path / "paintings", range(3))).styles
    photo = save(tmp_path / "photo.png", 7, (40, 32))
    found = pair_scores(own.networks, [Pair(photo, photo, None)], styles, 4)
    assert (found["content"], found["ssim"]) == (0, pytest.approx(1))
    assert found["style_set"] > 0
    assert "style" not in found, "it was to look like no single painting"


def test_lpips_is_scored_where_it_has_a_network(tmp_path: Path) -> None:
    own = evaluator()
    networks = PerceptualNetworks(own.networks.perceptual, Difference(), "cpu")  # type: ignore[arg-type]
    reference = look_at(own, pictures(tmp_path / "paintings", range(4)))
    pairs = make_pairs(tmp_path)
    assert "lpips" not in pair_scores(own.networks, pairs, reference.styles, 4)
    assert pair_scores(networks, pairs, reference.styles, 4)["lpips"] > 0


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many files are decoded, and how many pictures go through each network."""
    found: Counter[str] = Counter()
    read, forward = images.read, Features.forward

    def counted(self: Features, image: torch.Tensor) -> dict[str, torch.Tensor]:
        found[self.name] += len(image)
        return forward(self, image)

    monkeypatch.setattr(images, "read", lambda path: found.update(["decoded"]) or read(path))
    monkeypatch.setattr(Features, "forward", counted)
    return found


@pytest.mark.parametrize("batch", [2, 8])
def test_every_file_is_decoded_and_every_picture_seen_once(
    tmp_path: Path, seen: Counter[str], batch: int
) -> None:
    own = Evaluator.load(EvaluateSettings(features="mini", batch=batch), "cpu")
    reference = look_at(own, pictures(tmp_path / "paintings", range(4)))
    assert seen == {"decoded": 4, "mini": 4}
    made = make_pairs(tmp_path)
    clean = [
        replace(pair, picture=save(tmp_path / f"c{n}.png", n, (40, 32)))
        for n, pair in enumerate(made)
    ]
    seen.clear()
    own.score_sets(reference, [made, clean])
    assert seen == {"decoded": 9, "mini": 9}, "photographs, pictures, denoised pictures"
    seen.clear()
    own.score(reference, [replace(pair, picture=pair.photo) for pair in made])
    assert seen == {"decoded": 3, "mini": 3}, "the photographs against themselves"


def test_what_one_pass_gives_is_what_a_pass_for_each_gives(tmp_path: Path) -> None:
    settings = EvaluateSettings(features="mini", batch=2)
    shared = Evaluator.load(settings, "cpu")
    assert shared.features is shared.networks.perceptual
    apart = replace(shared, features=evaluation_features(settings, "cpu"))
    paintings, made = pictures(tmp_path / "paintings", range(4)), make_pairs(tmp_path)
    one, other = (look_at(own, paintings) for own in (shared, apart))
    assert torch.equal(one.vectors, other.vectors)
    untouched = [replace(pair, picture=pair.photo) for pair in made]
    sets = shared.score_sets(one, [made, untouched])
    assert sets == [apart.score(other, pairs) for pairs in (made, untouched)]


@pytest.mark.slow
def test_seeded_weights_scaled_in_two_ways_are_two_networks() -> None:
    own = Evaluator.load(EvaluateSettings(features="random", perceptual="random"), "cpu")
    assert own.features is not own.networks.perceptual


def test_pictures_of_other_sizes_than_their_photographs_are_named(tmp_path: Path) -> None:
    own = evaluator()
    styles = look_at(own, pictures(tmp_path / "paintings", range(3))).styles
    one, other = save(tmp_path / "one.png", 0, (40, 32)), save(tmp_path / "other.png", 0, (48, 32))
    with pytest.raises(UserError, match=r"one\.png is 40×32 but .*other\.png is 48×32"):
        pair_scores(own.networks, [Pair(one, other, None)], styles, 4)


def test_a_painting_is_found_by_name_stem_or_place() -> None:
    names = ["a.png", "b.png"]
    assert [painting_named(which, names) for which in ("b.png", "b", 1, 0)] == [
        "b.png", "b.png", "b.png", "a.png",
    ]  # fmt: skip
    assert [painting_named(which, names) for which in ("c", 2, "")] == [None] * 3
    assert painting_named("a", []) is None, "a system that looks at no single painting"


def test_pairs_of_a_record(tmp_path: Path) -> None:
    found = made_pairs(tmp_path / "m", tmp_path / "p", {"y": "a.png", "x": 0}, ["a.png"])
    assert found == [
        Pair(tmp_path / "m/x.png", tmp_path / "p/x.png", "a.png"),
        Pair(tmp_path / "m/y.png", tmp_path / "p/y.png", "a.png"),
    ]


def test_all_networks_are_those_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick_random(monkeypatch)
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path / "nowhere"))
    overrides = {"features": "random", "perceptual": "random", "lpips": "vgg16"}
    found = Evaluator.load(EvaluateSettings.build(overrides, "evaluate"), "cpu")
    assert (found.features.name, found.networks.perceptual.name) == ("random", "random")
    assert found.networks.lpips is None
    told = caplog.text
    assert "which is not a folder\nLPIPS is left out" in told
    assert "lpips_network" not in found.names()


@pytest.mark.parametrize(
    ("features", "asked", "layer"),
    [
        ("random", None, "relu4_1"),
        ("random", "relu1_2", "relu1_2"),
        ("mini", None, "vector"),
        ("mini", "relu5_1", "relu5_1"),
    ],
)
def test_the_layer_is_the_usual_one_or_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, features: str, asked: str | None, layer: str
) -> None:
    quick_random(monkeypatch)
    settings = EvaluateSettings(features=features, layer=asked)
    assert evaluation_features(settings, "cpu").layers == (layer,)


def test_a_substitute_is_announced_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick_random(monkeypatch)
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path / "nowhere"))
    settings = EvaluateSettings(features="inception_fid", fallback_features="random", layer="pool3")
    found = evaluation_features(settings, "cpu")
    assert found.name == "random"
    assert found.layers == ("relu4_1",), "the layer asked for is that of the other network"
    told = caplog.text
    assert "nowhere" in told
    assert "using random instead" in told


def test_without_a_substitute_missing_weights_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="nowhere"):
        evaluation_features(EvaluateSettings(features="inception_fid"), "cpu")


def test_every_network_without_a_usual_layer_has_that_of_the_vggs() -> None:
    without = set(scoring.EMBEDDING_LAYER) ^ set(scoring.load_features.__globals__["NAMES"])
    assert without == {"vgg16", "vgg19"}
