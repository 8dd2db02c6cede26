"""What a voter is asked next."""

from collections import Counter

import numpy as np
import pytest

from atelier.reports import bradley_terry
from atelier.reports.ballots import Ballot, next_ballot
from atelier.reports.bradley_terry import gains, halved
from atelier.reports.preferences import tallies
from atelier.reports.votes import Vote
from support.voters import say, simulated, vote

OFFERED = {"alps": ["a", "b", "c"], "beach": ["a", "b"]}


def everything(voter: str, seed: int = 42) -> list[Ballot]:
    """All that a voter is asked who always answers "equal"."""
    votes: list[Vote] = []
    asked = []
    while ballot := next_ballot("overall", OFFERED, votes, voter, seed):
        asked.append(ballot)
        votes.append(vote(ballot, "equal", voter))
    return asked


def test_a_voter_is_asked_everything_once() -> None:
    asked = [(ballot.photo, *sorted((ballot.left, ballot.right))) for ballot in everything("ann")]
    assert len(asked) == 4
    assert set(asked) == {
        ("alps", "a", "b"), ("alps", "a", "c"), ("alps", "b", "c"), ("beach", "a", "b")
    }  # fmt: skip


def test_voters_begin_at_different_places_and_each_repeats() -> None:
    assert everything("ann") == everything("ann")
    assert len({tuple(everything(f"voter {n}")) for n in range(8)}) > 4
    assert len({tuple(everything("ann", seed)) for seed in range(8)}) > 4


def test_no_method_keeps_to_one_side() -> None:
    sides = Counter(
        ballot.left
        for n in range(200)
        if (ballot := next_ballot("style", {"alps": ["a", "b"]}, [], f"voter {n}", 42))
    )
    assert 70 < sides["a"] < 130


def test_the_pair_that_tells_most_is_asked_on_the_least_used_photograph() -> None:
    known = [say("a", "b", "left" if n % 2 else "right", f"voter {n}") for n in range(6)]
    known += [say("b", "c", "equal", f"voter {n}") for n in range(2)]
    ballot = next_ballot("overall", OFFERED, known, "ann", 42)
    assert ballot
    assert {ballot.left, ballot.right} == {"a", "c"}
    names = list("abc")
    expected = gains(halved(*tallies(known, names)))
    assert expected[0, 2] == pytest.approx(expected.max())
    assert expected[0, 1] < expected[1, 2] < expected[0, 2]
    only = {"alps": ["a", "b"], "beach": ["a", "b"]}
    fresh = next_ballot("overall", only, known, "ann", 42)
    assert fresh
    assert fresh.photo == "beach"


def test_votes_on_a_method_that_is_no_longer_offered_are_passed_over() -> None:
    ballot = next_ballot("overall", {"alps": ["a", "b"]}, [say("a", "gone", "left")], "ann", 42)
    assert ballot
    assert {ballot.left, ballot.right} == {"a", "b"}


@pytest.mark.parametrize("offered", [{}, {"alps": []}, {"alps": ["a"]}, {"a": ["x"], "b": ["y"]}])
def test_without_two_pictures_of_a_photograph_there_is_nothing_to_ask(
    offered: dict[str, list[str]],
) -> None:
    assert next_ballot("overall", offered, [], "ann", 42) is None


def test_chosen_pairs_tell_more_than_random_ones() -> None:
    """The summed variance after as many votes; the clear order makes many pairs tell little."""
    names = [f"m{n}" for n in range(8)]
    truth = dict(zip(names, np.linspace(-3, 3, 8), strict=True))
    chosen = simulated(truth, 120, equal=0)
    dice = np.random.default_rng(3)
    others = []
    for _ in range(5):
        random = []
        for _ in chosen:
            one, other = map(str, dice.permutation(names)[:2])
            won = dice.random() < 1 / (1 + np.exp(truth[other] - truth[one]))
            random.append(say(one, other, "left" if won else "right"))
        others.append(variance(random, names))
    assert variance(chosen, names) < 0.9 * np.mean(others)


def variance(votes: list[Vote], names: list[str]) -> float:
    """Of the differences alone: that of their mean is the prior's."""
    wins = halved(*tallies(votes, names))
    _, curvature = bradley_terry._model(wins, bradley_terry.fit(wins))
    return float(np.trace(np.linalg.inv(curvature))) - 1 / bradley_terry.PRECISION
