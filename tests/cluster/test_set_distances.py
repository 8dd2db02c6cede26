"""Distances between sets of pictures by shards: equal to one process's, resumable; two nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch import Tensor

from atelier.cluster import embedded_set
from atelier.cluster.embedded_set import HERE, EmbeddedSet, embed_set
from atelier.cluster.set_distances import set_distances
from atelier.cluster.storage import find_pictures
from atelier.cluster.vector_shards import Embedding
from atelier.core.config import UserError
from atelier.core.images import ImageError
from atelier.metrics.embeddings import embed_files
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.kid import kernel_distance
from atelier.metrics.statistics import Statistics
from atelier.nn.pretrained.features import load_features
from support.cli import atelier
from support.models import project
from support.pictures import save

EMBEDDING = Embedding(load_features("mini", ["vector"]), size=None, batch=1, device="cpu")
"""One at a time: the last bits of a vector depend on the size of its batch."""
Sets = tuple[Path, Path]


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sets:
    """Three shards and two; a file of the second set is no picture."""
    monkeypatch.setattr(embedded_set, "SHARD", 5)
    monkeypatch.setattr(embedded_set, "GROUP", 2)
    for n in range(11):
        save(tmp_path / "a" / f"{n:02d}.png", seed=n)
    for n in range(6):
        save(tmp_path / "b/nested" / f"{n}.png", seed=20 + n, size=(64, 64))
    save(tmp_path / "b/odd.png", seed=30, size=(48, 64))
    (tmp_path / "b/broken.png").write_text("no picture")
    return tmp_path / "a", tmp_path / "b"


def single_process(sets: Sets) -> dict[str, float]:
    pictures = [sorted(one.rglob("*.png")) for one in sets]
    pictures[1].remove(sets[1] / "broken.png")
    a, b = (embed_files(EMBEDDING.features, paths, device="cpu", batch=1) for paths in pictures)
    return {"frechet": frechet_distance(a, b), **kernel_distance(a, b)}


def assert_equal(found: dict[str, Any], sets: Sets) -> None:
    for name, value in single_process(sets).items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert (found["n_reference"], found["n_generated"]) == (11, 7)


def measured(sets: Sets, on_message: Callable[[str], None] = print, **machines: Any) -> Any:
    a, b = map(str, sets)
    store = str(sets[0].parent / "vectors")
    return set_distances(a, b, store, EMBEDDING, replace(HERE, **machines), on_message)


def test_shards_give_the_distances_of_one_process(sets: Sets) -> None:
    messages: list[str] = []
    assert_equal(measured(sets, messages.append), sets)
    assert len(messages) == 1
    assert messages[0].startswith(f"{sets[1]}/broken.png: is not a picture")
    assert len(list((sets[0].parent / "vectors").iterdir())) == 5


def test_only_shards_that_are_not_there_are_embedded(sets: Sets) -> None:
    first, asked = measured(sets), list[str]()

    def embed(arguments: Any, shards: Any) -> Iterator[str]:
        asked.extend(name for shard in shards for name in shard.pictures)
        return HERE.embed(arguments, shards)

    messages: list[str] = []
    assert measured(sets, messages.append, embed=embed) == first
    assert asked == []
    assert len(messages) == 1  # it is named again
    save(sets[0] / "07.png", seed=99)
    changed = measured(sets, embed=embed)
    assert asked == [f"{sets[0]}/{n:02d}.png" for n in range(5, 10)]
    assert changed["frechet"] != first["frechet"]
    assert_equal(changed, sets)


def test_a_picture_that_cannot_be_fetched_is_tried_again(tmp_path: Path) -> None:
    """Unlike a broken one: its shard is not written, and the command says so."""
    memory, store = fsspec.filesystem("memory"), str(tmp_path / "vectors")
    memory.pipe("/fetch/0.png", save(tmp_path / "0.png").read_bytes())
    memory.pipe("/fetch/1.png", b"no picture")
    pictures = find_pictures("memory://fetch")
    content = memory.cat_file("/fetch/0.png")
    memory.rm_file("/fetch/0.png")
    with pytest.raises(UserError, match=r"/fetch/0\.png.*\n1 of 1 shards failed; repeat"):
        embed_set(pictures, store, EMBEDDING, HERE, print)
    memory.pipe("/fetch/0.png", content)
    messages: list[str] = []
    made = embed_set(pictures, store, EMBEDDING, HERE, messages.append)
    assert made.counts == [1]
    assert [message.partition(":")[0] for message in messages] == ["/fetch/1.png"]


def test_a_shard_without_a_readable_picture_counts_nothing(sets: Sets) -> None:
    for n in range(5):
        (sets[0] / f"{n:02d}.png").write_text("no picture")
    made = embed_set(find_pictures(str(sets[0])), f"{sets[0]}/v", EMBEDDING, HERE, print)
    assert made.counts == [0, 5, 1]
    assert made.statistics.count == 6


def test_a_broken_shard_is_a_sentence(sets: Sets) -> None:
    measured(sets)
    shard = min((sets[0].parent / "vectors").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"cannot be read .*; remove {shard} and repeat"):
        measured(sets)


def test_rows_come_from_their_shards(sets: Sets, tmp_path: Path) -> None:
    made = embed_set(find_pictures(str(sets[0])), f"{tmp_path}/v", EMBEDDING, HERE, print)
    whole = made.rows(torch.arange(11), HERE)
    assert len(whole) == 11
    for wanted in ([0], [4, 5], [1, 9, 10]):
        assert torch.equal(made.rows(torch.tensor(wanted), HERE), whole[wanted])
    assert_statistics(made, whole)


def assert_statistics(made: EmbeddedSet, vectors: Tensor) -> None:
    expected = Statistics.of(vectors)
    torch.testing.assert_close(made.statistics.mean, expected.mean)
    torch.testing.assert_close(made.statistics.scatter, expected.scatter)


def test_pictures_are_cropped_to_one_size(tmp_path: Path) -> None:
    path = save(tmp_path / "0.png", size=(64, 48))
    assert EMBEDDING.load(path).shape == (3, 48, 64)
    square = replace(EMBEDDING, size=32)
    assert square.load(path).shape == (3, 32, 32)
    assert square.key() != EMBEDDING.key()
    with pytest.raises(ImageError):
        square.load(tmp_path / "none.png")


def one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``folder`` a project whose settings embed as ``EMBEDDING`` does, and enter it."""
    path = project(folder) / "params.yaml"
    path.write_text(path.read_text() + "evaluate: {features: mini, batch: 1}\n")
    monkeypatch.chdir(folder)


@pytest.mark.slow
def test_the_command(
    sets: Sets, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one_by_one(sets[0].parent, monkeypatch)
    assert atelier(monkeypatch, "distance", "a", "b") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert_equal(found, sets)
    assert (found["features"], found["layer"]) == ("mini", "vector")
    assert f"skipped: {sets[1]}/broken.png: " in said.err
    for wrong, reason in (
        (["none", "b"], "none: no such file or folder"),
        (["a", "b", "--ray", "auto"], "all nodes reach: --vectors"),
        (["a", "b", "--features", "vgg20"], "vgg20"),
        (["a", "a/00.png"], "at least 2 pictures"),
    ):
        assert atelier(monkeypatch, "distance", *wrong) == 1
        assert reason in capsys.readouterr().err


@pytest.mark.cluster
@pytest.mark.filterwarnings("default")
def test_pictures_and_vectors_in_a_bucket(
    sets: Sets, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in s3.items():
        monkeypatch.setenv(key, value)
    bucket = fsspec.filesystem("s3", skip_instance_cache=True)
    for one in sets:
        bucket.put(str(one), f"bench/{one.name}", recursive=True)
    messages: list[str] = []
    addresses = ("s3://bench/a", "s3://bench/b", "s3://bench/vectors")
    assert_equal(set_distances(*addresses, EMBEDDING, HERE, messages.append), sets)
    assert [message.partition(":")[0] for message in messages] == ["bench/b/broken.png"]
    bucket.invalidate_cache()
    assert len(bucket.find("bench/vectors")) == 5


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.filterwarnings("default")
def test_two_nodes_give_the_distances_of_one_process(
    sets: Sets,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    cluster = request.getfixturevalue("cluster")
    one_by_one(sets[0].parent, monkeypatch)
    ray = ("--vectors", str(sets[0].parent / "v"), "--ray", cluster.address)
    assert atelier(monkeypatch, "distance", "a", "b", *ray) == 0
    said = capsys.readouterr()
    assert_equal(json.loads(said.out), sets)
    assert f"skipped: {sets[1]}/broken.png: " in said.err
