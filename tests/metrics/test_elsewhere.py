"""Shards measured by workers give the record of one process; those that are there are not made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atelier.core.config import Params, UserError
from atelier.metrics import elsewhere
from atelier.metrics.elsewhere import Elsewhere, shards_folder
from atelier.metrics.evaluator import EvaluateSettings, Evaluator, Reference
from atelier.metrics.pairwise import Pair
from atelier.metrics.reference import look_at, save_reference
from support.pictures import save
from support.workers import OneWorker

PICTURES = 7
SETTINGS = {"features": "mini", "batch": 2}
Score = Callable[[OneWorker], dict[str, Any]]


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator.load(EvaluateSettings.build(SETTINGS, "evaluate"), "cpu")


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """Four shards, the last of one picture."""
    monkeypatch.setattr(elsewhere, "BATCHES", 1)
    monkeypatch.chdir(tmp_path)
    return [
        Pair(save(Path(f"made/{n}.png"), n), save(Path(f"photos/{n}.png"), 20 + n), f"{n % 3}.png")
        for n in range(PICTURES)
    ]


@pytest.fixture
def reference(evaluator: Evaluator, pairs: list[Pair]) -> Reference:
    paintings = [save(Path(f"paintings/{n}.png"), 40 + n) for n in range(6)]
    found = look_at(evaluator, paintings[:4], paintings[4:])
    save_reference(found, evaluator, Path("reference.safetensors"))
    return found


@pytest.fixture
def score(evaluator: Evaluator, reference: Reference, pairs: list[Pair]) -> Score:
    def run(workers: OneWorker) -> dict[str, Any]:
        pool = Elsewhere(workers, Params({"device": "cpu"}), evaluator, reference)
        kept = shards_folder("stylized-x", evaluator, pairs, Path("reference.safetensors"))
        return evaluator.record(reference, *pool.measure(pairs, kept))

    return run


def test_all_numbers_are_those_of_one_process(
    score: Score, evaluator: Evaluator, reference: Reference, pairs: list[Pair]
) -> None:
    expected = evaluator.score(reference, pairs)
    assert score(OneWorker()) == expected
    assert {"frechet", "kid", "style", "held_out"} <= set(expected)


def test_shards_that_are_there_are_not_measured_again(score: Score, pairs: list[Pair]) -> None:
    first, second, third, fourth = OneWorker(most=2), OneWorker(), OneWorker(), OneWorker()
    with pytest.raises(KeyboardInterrupt):
        score(first)
    expected = score(second)
    assert (first.made, second.made) == ([0, 1], [2, 3])
    assert score(third) == expected
    assert third.made == []
    save(pairs[6].picture, 99)
    assert score(fourth) != expected  # other pictures: nothing of before is used
    assert fourth.made == [0, 1, 2, 3]


def test_a_picture_that_cannot_be_read_is_named_and_the_rest_measured(
    score: Score, pairs: list[Pair]
) -> None:
    pairs[3].picture.write_text("no picture")
    workers = OneWorker()
    with pytest.raises(UserError, match=r"3\.png: .*\n1 of 4 parts are missing; the others"):
        score(workers)
    assert workers.made == [0, 2, 3]


def test_a_broken_shard_is_a_sentence(score: Score) -> None:
    score(OneWorker())
    (shard,) = Path(".checkpoints").glob("evaluate-stylized-x-*/shard-00002.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"shard-00002\.safetensors: cannot be read .*; remove it"):
        score(OneWorker())
