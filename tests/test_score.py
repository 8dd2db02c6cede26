"""Scoring two folders of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from atelier import images
from atelier.config import UserError
from atelier.metrics import score as scoring
from atelier.metrics.embedding import embed_files
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.kernel import kernel_distance
from atelier.metrics.score import (
    EvaluateSettings,
    evaluation_features,
    floor,
    load_reference,
    save_reference,
    score,
)
from nets import quick_random, random_features
from pictures import save


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


def test_a_score_names_all_it_depends_on(tmp_path: Path) -> None:
    net = random_features("relu2_1")
    real, made = pictures(tmp_path / "a", range(4)), pictures(tmp_path / "b", range(5, 8))
    vectors = [embed_files(net, paths, device="cpu", batch=8) for paths in (real, made)]
    found = score(net, *vectors)
    assert found.pop("frechet") == pytest.approx(frechet_distance(*vectors), rel=1e-3)
    assert {"kid": found.pop("kid"), "kid_sd": found.pop("kid_sd")}.items() <= (
        kernel_distance(*vectors).items()
    )
    assert found == {
        "kid_subset": 3,
        "features": "random",
        "features_hash": net.hash,
        "layer": "relu2_1",
        "n_reference": 4,
        "n_generated": 3,
    }


def test_the_floor_compares_halves_that_share_no_painting() -> None:
    net = random_features("relu2_1")
    vectors = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    found = floor(net, vectors, seed=1)
    assert (found["n_reference"], found["n_generated"]) == (6, 6)
    assert found == floor(net, vectors, seed=1) != floor(net, vectors, seed=2)
    assert found["frechet"] > 0
    assert found["frechet_sd"] > 0
    # two copies of every painting: only halves that share none are never equal
    pairs = torch.arange(2.0).repeat_interleave(2)[:, None]
    seen = {round(floor(net, pairs, seed=s)["frechet"], 6) for s in range(20)}
    assert len(seen) > 1


def test_too_few_paintings_have_no_floor() -> None:
    found = floor(random_features("relu2_1"), torch.randn(3, 4))
    assert found == {"reason": "needs 4 paintings, there are 3"}


def test_the_floor_of_sets_of_one_kind_falls_with_their_size() -> None:
    net = random_features("relu2_1")
    few, many = (
        floor(net, torch.randn(n, 8, generator=torch.Generator().manual_seed(n)))["frechet"]
        for n in (20, 400)
    )
    assert many < few / 4


def test_equal_sets_score_zero(tmp_path: Path) -> None:
    paths = pictures(tmp_path, range(3))
    net = random_features("relu2_1")
    vectors = embed_files(net, paths, device="cpu", batch=3)
    assert score(net, vectors, vectors.flip(0))["frechet"] == pytest.approx(0, abs=1e-6)


def test_the_reference_comes_back_and_belongs_to_its_features(tmp_path: Path) -> None:
    net, path = random_features("relu2_1"), tmp_path / "reference.safetensors"
    vectors = torch.rand(5, 128)
    save_reference(vectors, net, path)
    assert torch.equal(load_reference(net, path), vectors)
    with pytest.raises(UserError, match=r"relu2_1.*relu1_2.*run dvc repro reference"):
        load_reference(random_features("relu1_2"), path)
    path.write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be read"):
        load_reference(net, path)
    with pytest.raises(UserError, match="cannot be read"):
        load_reference(net, tmp_path / "none.safetensors")


@pytest.mark.parametrize(("asked", "layer"), [(None, "relu4_1"), ("relu1_2", "relu1_2")])
def test_the_layer_is_the_usual_one_or_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, layer: str
) -> None:
    quick_random(monkeypatch)
    settings = EvaluateSettings(features="random", layer=asked)
    assert evaluation_features(settings, "cpu").layers == (layer,)


def test_a_substitute_is_announced_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick_random(monkeypatch)
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path / "nowhere"))
    settings = EvaluateSettings(features="inception_fid", otherwise="random", layer="pool3")
    found = evaluation_features(settings, "cpu")
    assert found.name == "random"
    assert found.layers == ("relu4_1",), "the layer asked for is that of the other network"
    told = capsys.readouterr().err
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
    assert without == {"vgg16", "vgg19", "mini"}
