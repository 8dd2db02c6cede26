"""Strengths by votes: a simulated study finds a known order, and says where it cannot."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from atelier.core.config import Params
from atelier.reports import leaderboard, preferences, votes
from atelier.reports.preferences import DRAWS, NEEDED, Strengths, Study, weighted_tau
from atelier.reports.votes import Vote
from support.projects import finished_project, put
from support.tables import frame, row
from support.voters import say, simulated

TOO_FEW = f"too few votes ({NEEDED} are needed on a method)"
TRUTH = {f"m{n}": strength for n, strength in enumerate((2.0, 1.2, 0.4, -0.4, -1.2, -2.0))}


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(tuple(simulated(TRUTH, 600)), 0)


def strengths_of(study: Study) -> dict[str, float]:
    found = study.strengths("overall")
    return dict(zip(found.methods, map(float, found.theta), strict=True))


@pytest.mark.slow
def test_a_study_finds_the_order_and_the_strengths(study: Study) -> None:
    found = strengths_of(study)
    assert sorted(found, key=lambda name: -found[name]) == list(TRUTH)
    assert sum(found.values()) == pytest.approx(0, abs=1e-9)
    # "equal" in a tenth of the answers pulls everything towards the middle
    assert found == pytest.approx(TRUTH, abs=0.6)


@pytest.mark.slow
def test_intervals_hold_the_truth_and_narrow_with_votes(study: Study) -> None:
    def bounds(votes: tuple[Vote, ...]) -> np.ndarray:
        found = preferences.strengths(votes)
        assert found.draws.shape == (DRAWS, len(TRUTH))
        assert list(found.methods) == list(TRUTH)
        return np.array(preferences.interval(found.draws))

    many, few = bounds(tuple(simulated(TRUTH, 600, equal=0))), bounds(study.votes[:120])
    assert (np.ptp(many, axis=0) < 0.7 * np.ptp(few, axis=0)).all()
    inside = (many[0] < list(TRUTH.values())) & (list(TRUTH.values()) < many[1])
    assert inside.sum() >= 5, "95 of 100 intervals hold the truth"


def test_below_the_stated_number_of_votes_it_says_so() -> None:
    few = [say("a", "b", "left", f"voter {n}") for n in range(NEEDED - 1)]
    known = Study(tuple(few), 2)
    assert known.strengths("overall").methods == ()
    assert known.strengths("overall").figures("overall") == {
        "a": {"votes_overall": NEEDED - 1}, "b": {"votes_overall": NEEDED - 1}
    }  # fmt: skip
    assert known.summary(["a", "b", "c"]) == [
        f"overall: votes: {NEEDED - 1}, people: {NEEDED - 1}; {TOO_FEW} on all methods",
        "not counted: 2 on earlier pictures",
    ]
    more = Study((*few, say("a", "b", "right")), 0)
    assert more.strengths("overall").methods == ("a", "b")
    assert more.summary(["a", "b", "c"])[0].endswith(f"{TOO_FEW} on c")
    assert TOO_FEW not in more.summary(["a", "b"])[0]


def test_groups_that_no_vote_connects_are_not_compared() -> None:
    votes = [say("a", "b", "left", f"voter {n}") for n in range(NEEDED)]
    votes += [say(*pair, "left", f"voter {n}") for n in range(NEEDED) for pair in ("xy", "yz")]
    assert preferences.strengths(tuple(votes)).methods == ("x", "y", "z")


def test_the_answers_count_as_given() -> None:
    votes = [say("b", "a", "left"), say("a", "b", "left"), say("a", "c", "right")]
    wins, equal = preferences.tallies([*votes, say("c", "b", "equal")], ["a", "b", "c"])
    assert wins.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert equal.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    finished_project(tmp_path)
    for n in range(NEEDED):
        votes.add(tmp_path, say("gatys", "cut_x", "left" if n else "equal", f"voter {n}"))
    return tmp_path


def params(root: Path) -> Params:
    return Params.load(root / "params.yaml")


def test_the_table_has_strengths_bounds_and_numbers_of_votes(project: Path) -> None:
    table = leaderboard.comparison(project, params(project), "preference_overall")
    rows = table.set_index("method")
    assert list(table["method"])[:2] == ["gatys", "cut_x"], "the preferred first"
    assert rows.loc["gatys", "preference_overall"] == -rows.loc["cut_x", "preference_overall"] > 0
    low, value, high = rows.loc[
        "gatys", [f"preference_overall{end}" for end in ("_low", "", "_high")]
    ]
    assert low <= value <= high
    assert rows.loc["gatys", "votes_overall"] == NEEDED
    assert rows["preference_style"].isna().all()
    assert rows.loc["identity", ["preference_overall", "votes_overall"]].isna().all()


@pytest.mark.parametrize("changed", ["gatys", "data"])
def test_new_pictures_start_anew_and_old_votes_are_kept(project: Path, changed: str) -> None:
    if changed == "data":
        put(project, "prepared/manifest.json", {"digest": "another"})
    else:
        put(project, f"stylized/{changed}/record.json", {"pictures_sha256": "new"})
    table = leaderboard.comparison(project, params(project))
    assert table["votes_overall"].isna().all()
    known = preferences.study(project, ["gatys", "cut_x"])
    assert known.summary(["gatys"]) == [f"not counted: {NEEDED} on earlier pictures"]
    assert len(votes.stored(project)) == NEEDED


def test_a_broken_copy_leaves_the_rest_of_the_table(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(project, "votes/votes.csv", "nonsense")
    table = leaderboard.comparison(project, params(project)).set_index("method")
    assert table.loc["gatys", "frechet"] == 12.5
    assert table["votes_overall"].isna().all()
    assert "votes.csv: line 1" in caplog.text


def scored(**metrics: list[float]) -> pd.DataFrame:
    names = list(TRUTH)
    return frame(*(row(n, **{k: v[i] for k, v in metrics.items()}) for i, n in enumerate(names)))


def test_agreement_is_kendalls_tau_of_better_with_better(study: Study) -> None:
    order = [float(n) for n in range(6)]
    mixed = [0.0, 2.0, 1.0, 3.0, 5.0, 4.0]
    table = scored(frechet=order, ssim=order, content=mixed, style=[1.0] * 6)
    found = {one.metric: one for one in preferences.agreements(study, table)}
    assert set(found) == {"frechet", "ssim", "content"}, "none where all have one score"
    assert found["frechet"].tau == pytest.approx(1), "lower is better"
    assert found["ssim"].tau == pytest.approx(-1), "higher is better"
    assert found["content"].tau == pytest.approx(kendalltau(order, mixed).statistic)
    assert found["content"].low < found["content"].tau < found["content"].high
    assert found["content"].methods == 6


def test_the_metric_that_predicts_people_comes_first(study: Study) -> None:
    order = [float(n) for n in range(6)]
    table = preferences.table(study, scored(frechet=order[::-1], content=order))
    assert list(table["metric"]) == ["content", "frechet"]
    assert list(table.columns) == ["metric", "overall"]
    assert table["overall"][0].startswith("1.00 (")


def test_too_few_methods_have_no_rank_correlation() -> None:
    few = Strengths(("a", "b", "c"), np.arange(3.0), np.zeros((DRAWS, 3)), {})
    scores = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert preferences.agreement("ssim", "overall", few, scores) is None
    empty = preferences.table(Study((), 0), scored(frechet=[1.0] * 6))
    assert empty.empty


def test_tau_of_methods_drawn_with_replacement() -> None:
    """As scipy has it of the list with the copies, where ties on both sides count nowhere."""
    dice = np.random.default_rng(0)
    draws, values = dice.normal(size=(5, 6)), np.array([1.0, 2, 2, 4, 5, 6])
    copies = dice.multinomial(6, np.full(6, 1 / 6), size=5)
    for draw, times, tau in zip(draws, copies, weighted_tau(draws, values, copies), strict=True):
        theirs = kendalltau(np.repeat(draw, times), np.repeat(values, times)).statistic
        assert tau == pytest.approx(theirs)
    alone = np.eye(6, dtype=int)[:1] * 6
    assert np.isnan(weighted_tau(draws[:1], values, alone)).all()


def test_the_ranking_lists_methods_by_the_first_question(study: Study) -> None:
    table = preferences.ranking(study)
    assert list(table["method"]) == list(TRUTH)
    assert list(table.columns) == ["method", "overall"]
    assert preferences.ranking(Study((), 0)).empty
