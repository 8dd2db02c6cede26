"""The votes: one per voter and pair, several voters at once, the copy for the comparison."""

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from atelier.core.config import UserError
from atelier.core.paths import VOTES, Results
from atelier.reports import votes
from support.voters import say

ONE = say("gatys", "cut", "left")


def test_a_vote_is_stored_and_copied(tmp_path: Path) -> None:
    odd = replace(say("cut", "gatys", "equal"), voter='Zoë, "the" second\nline', photo="b;'--")
    assert votes.add(tmp_path, ONE)
    assert votes.add(tmp_path, odd)
    assert votes.stored(tmp_path) == [ONE, odd]
    assert votes.read(tmp_path) == (ONE, odd)
    assert Results(tmp_path).votes.read_text() == votes.to_csv([ONE, odd])


@pytest.mark.parametrize(
    "again", [ONE, replace(ONE, answer="right", time="later"), say("cut", "gatys", "equal")]
)
def test_a_voter_answers_a_pair_on_a_photograph_once(tmp_path: Path, again: votes.Vote) -> None:
    votes.add(tmp_path, ONE)
    assert not votes.add(tmp_path, again)
    assert votes.stored(tmp_path) == [ONE]


@pytest.mark.parametrize(
    "other",
    [
        {"voter": "bob"},
        {"question": "style"},
        {"photo": "beach"},
        {"left_pictures": "new ones"},
        {"data": "other data"},
    ],
)
def test_anything_else_is_another_vote(tmp_path: Path, other: dict[str, str]) -> None:
    votes.add(tmp_path, ONE)
    assert votes.add(tmp_path, replace(ONE, **other))
    assert len(votes.stored(tmp_path)) == 2


def test_a_vote_that_is_taken_back_can_be_given_again(tmp_path: Path) -> None:
    votes.add(tmp_path, ONE)
    votes.add(tmp_path, replace(ONE, voter="bob"))
    votes.withdraw(tmp_path, ONE)
    assert [vote.voter for vote in votes.read(tmp_path)] == ["bob"]
    assert votes.add(tmp_path, replace(ONE, answer="right"))


@pytest.mark.parametrize("wrong", [{"answer": "both"}, {"question": "colour"}, {"left": "cut"}])
def test_what_is_no_vote_is_not_stored(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cut"):
        votes.add(tmp_path, replace(ONE, **wrong))
    assert votes.stored(tmp_path) == []


def test_reading_makes_no_file(tmp_path: Path) -> None:
    votes.export(tmp_path)
    assert votes.stored(tmp_path) == []
    assert votes.read(tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def cast(root: Path, voter: str) -> None:
    for number in range(20):
        votes.add(root, replace(ONE, voter=voter, photo=str(number)))


@pytest.mark.slow
def test_several_voters_at_once_lose_no_vote(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    people = [spawn.Process(target=cast, args=(tmp_path, f"voter {n}")) for n in range(4)]
    for one in people:
        one.start()
    for one in people:
        one.join()
        assert one.exitcode == 0
    assert len(set(votes.stored(tmp_path))) == 80
    assert sorted(votes.read(tmp_path), key=str) == sorted(votes.stored(tmp_path), key=str)


def test_a_first_vote_waits_for_whoever_makes_the_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / VOTES, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(votes.add, tmp_path, ONE)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            other.execute("COMMIT")
            assert waiting.result()
    assert votes.read(tmp_path) == (ONE,)


def test_readers_do_not_wait_for_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    votes.add(tmp_path, ONE)
    monkeypatch.setattr(votes, "PATIENCE", 0.05)
    with closing(sqlite3.connect(tmp_path / VOTES, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert votes.stored(tmp_path) == [ONE]
        with pytest.raises(UserError, match=r"votes.db: .*locked"):
            votes.add(tmp_path, replace(ONE, voter="bob"))
    assert votes.add(tmp_path, replace(ONE, voter="bob"))


def test_a_broken_database_and_a_broken_copy_are_named(tmp_path: Path) -> None:
    (tmp_path / VOTES).write_text("no database " * 100)
    with pytest.raises(UserError, match=r"votes\.db: the votes cannot be read"):
        votes.stored(tmp_path)
    copy = Results(tmp_path).votes
    copy.parent.mkdir(parents=True)
    text = votes.to_csv([ONE])
    for content, reason in (
        ("a,b\n", "line 1: not the columns"),
        (text + "too,short\n", "line 3: is not a vote"),
        (text + text.splitlines()[1].replace("left", "both", 1) + "\n", "line 3: is not a vote"),
    ):
        copy.write_text(content)
        with pytest.raises(UserError, match=reason):
            votes.read(tmp_path)
