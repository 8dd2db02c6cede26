"""The model of pairwise comparisons against other solvers and the definition of its gains."""

import numpy as np
import pytest
from scipy.optimize import minimize

from atelier.reports import bradley_terry
from atelier.reports.bradley_terry import PRECISION, bootstrap, fit, gains, halved

WINS = np.array([[0, 3, 5], [1, 0, 2], [0, 2, 0]])


def minus_log_posterior(theta: np.ndarray, wins: np.ndarray) -> float:
    loss = np.log1p(np.exp(theta[None, :] - theta[:, None]))
    return float((wins * loss).sum() + PRECISION / 2 * (theta**2).sum())


def test_strengths_are_the_most_probable_ones() -> None:
    theirs = minimize(minus_log_posterior, np.zeros(3), args=(WINS,), tol=1e-12).x
    assert fit(WINS) == pytest.approx(theirs, abs=1e-5)


def test_two_methods_have_the_odds_of_their_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bradley_terry, "PRECISION", 1e-9)
    one, other = fit(np.array([[0, 30], [10, 0]]))
    assert one - other == pytest.approx(np.log(3), abs=1e-6)


def test_strengths_of_choix(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``choix.ilsr_pairwise_dense(WINS)`` of choix 0.4.1 returns, which has no prior."""
    monkeypatch.setattr(bradley_terry, "PRECISION", 1e-9)
    assert fit(WINS) == pytest.approx([1.382909, -0.460695, -0.922214], abs=1e-5)


def test_who_won_every_time_is_strong_but_not_infinitely() -> None:
    theta = fit(np.array([[0, 1000], [0, 0]]))
    assert 2 < theta[0] < 20


def test_equal_is_half_a_win_for_each() -> None:
    wins, equal = np.array([[0, 2], [1, 0]]), np.array([[0, 3], [0, 0]])
    assert halved(wins, equal).tolist() == [[0, 3.5], [2.5, 0]]


def test_many_sets_of_votes_at_once() -> None:
    both = fit(np.stack([WINS, WINS.T]))
    assert both[0] == pytest.approx(fit(WINS))
    assert both[1] == pytest.approx(-both[0], abs=1e-6)


def test_draws_lie_around_the_estimate_and_repeat() -> None:
    wins = 20 * WINS
    draws = bootstrap(wins, np.zeros_like(wins), 300, seed=1)
    assert draws.mean(0) == pytest.approx(fit(wins), abs=0.1)
    assert (draws == bootstrap(wins, np.zeros_like(wins), 300, seed=1)).all()
    few = bootstrap(WINS, np.zeros_like(WINS), 300, seed=1)
    assert (few.std(0) > 2 * draws.std(0)).all()


def test_a_gain_is_the_fall_of_the_summed_variance() -> None:
    """By inverting the information with one vote more, the strengths held."""
    wins = WINS.astype(float)
    theta = fit(wins)
    chance = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))

    def summed(met: np.ndarray) -> float:
        weight = met * chance * (1 - chance)
        return float(np.trace(np.linalg.inv(np.diag(weight.sum(1) + PRECISION) - weight)))

    more = wins + wins.T
    for one, other in ((0, 1), (0, 2), (1, 2)):
        again = more.copy()
        again[one, other] += 1
        again[other, one] += 1
        assert gains(wins)[one, other] == pytest.approx(summed(more) - summed(again))


def test_a_vote_on_the_unknown_tells_most() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = 20
    found = gains(wins)
    assert found[2, 3] > found[0, 2] > found[0, 1]
