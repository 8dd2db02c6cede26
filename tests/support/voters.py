"""Votes on the pictures of ``finished_project``, and people who answer by a known order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atelier.reports.ballots import Ballot, next_ballot
from atelier.reports.votes import Vote
from support.projects import DATA, digest


def vote(ballot: Ballot, answer: str, voter: str = "ann", time: str = "2026-01-02") -> Vote:
    question, photo, left, right = ballot.question, ballot.photo, ballot.left, ballot.right
    digests = digest(left), digest(right)
    return Vote(time, voter, question, photo, left, right, answer, DATA, *digests)


def say(left: str, right: str, answer: str, voter: str = "ann", question: str = "overall") -> Vote:
    """One vote on the photograph *alps*."""
    return vote(Ballot(question, "alps", left, right), answer, voter)


def simulated(
    truth: Mapping[str, float], count: int, *, question: str = "overall", equal: float = 0.1
) -> list[Vote]:
    """Return votes of three people who answer by the Bradley–Terry model; ``equal``: share of it.

    Every vote is on what ``next_ballot`` asks.
    """
    dice = np.random.default_rng(7)
    offered = {f"photo {n}": list(truth) for n in range(20)}
    votes: list[Vote] = []
    for number in range(count):
        voter = f"voter {number % 3}"
        ballot = next_ballot(question, offered, votes, voter, 42)
        assert ballot
        chance = 1 / (1 + np.exp(truth[ballot.right] - truth[ballot.left]))
        won = "left" if dice.random() < chance else "right"
        votes.append(vote(ballot, "equal" if dice.random() < equal else won, voter))
    return votes
