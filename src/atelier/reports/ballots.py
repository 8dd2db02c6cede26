"""Choice of the next two pictures for a voter: those of which an answer tells most."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from atelier.reports.bradley_terry import gains, halved
from atelier.reports.preferences import tallies
from atelier.reports.votes import Vote

SAME = 1e-9
"""Expected gains that differ by less than this part are a tie."""


@dataclass(frozen=True)
class Ballot:
    """Two methods' pictures of a photograph, and their sides."""

    question: str
    photo: str
    left: str
    right: str


def next_ballot(
    question: str,
    offered: Mapping[str, Sequence[str]],
    votes: Sequence[Vote],
    voter: str,
    seed: int,
) -> Ballot | None:
    """Return what to ask the voter next, or None once everything has been answered.

    The pair of methods is the one on which one more vote is expected to reduce the summed variance
    of all strengths most (``bradley_terry.gains``), given everybody's votes on the question; then
    the photograph on which this pair has the fewest votes. Ties and sides are decided by a hash of
    seed and voter, so voters begin at different places and no method keeps to one side.

    Args:
        question: a key of ``catalogue.QUESTIONS``.
        offered: photograph → methods that have a picture of it.
        votes: on this question and the pictures there are now, of all voters.
        voter: is never asked about the same two pictures again.
        seed: of the project.
    """
    done = {(vote.pair, vote.photo) for vote in votes if vote.voter == voter}
    used = Counter((vote.pair, vote.photo) for vote in votes)
    for pair in _by_gain(question, offered, votes, voter, seed):
        key = frozenset(pair)
        left = [
            photo for photo, methods in offered.items()
            if key <= set(methods) and (key, photo) not in done
        ]  # fmt: skip
        if left:
            dice = (seed, voter, question, *pair)
            photo = min(left, key=lambda photo: (used[key, photo], _hash(*dice, photo)))
            one, other = pair if _hash(*dice, photo, "sides")[0] % 2 else reversed(pair)
            return Ballot(question, photo, one, other)
    return None


def _by_gain(
    question: str,
    offered: Mapping[str, Sequence[str]],
    votes: Sequence[Vote],
    voter: str,
    seed: int,
) -> Iterator[tuple[str, str]]:
    """Yield every pair of methods, the most telling first."""
    names = sorted({name for methods in offered.values() for name in methods})
    if len(names) < 2:
        return
    known = [vote for vote in votes if vote.pair <= set(names)]
    expected = gains(halved(*tallies(known, names)))
    unit = max(float(expected.max(initial=0)) * SAME, np.finfo(float).tiny)
    place = {name: number for number, name in enumerate(names)}

    def rank(pair: tuple[str, str]) -> tuple[int, bytes]:
        gain = expected[place[pair[0]], place[pair[1]]]
        return -round(gain / unit), _hash(seed, voter, question, *pair)

    yield from sorted(combinations(names, 2), key=rank)


def _hash(*parts: object) -> bytes:
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
