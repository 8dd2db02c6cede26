"""*Vote*, and what the leaderboard says of votes."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from atelier.core.paths import VOTES
from atelier.reports import votes
from atelier.reports.preferences import NEEDED
from support.projects import alone_in, alts, fresh_project, heads, put, show, words
from support.voters import say


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return alone_in(tmp_path, monkeypatch)


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_two_unnamed_pictures_stand_beside_photograph_and_painting(done: Path) -> None:
    app = show("vote")
    assert heads(app) == [
        "Vote", "Which is the better picture of this photograph in this painting's style?"
    ]  # fmt: skip
    assert alts(app) == [
        "the photograph", "the painting", "the picture on the left", "the picture on the right"
    ]  # fmt: skip
    assert labels(app) == ["Left", "Equal", "Right"]
    assert not {"gatys", "cut_x"} & set(words(app).split())


@pytest.mark.parametrize("question", ["style", "content"])
def test_an_answer_is_stored_with_what_was_shown(done: Path, question: str) -> None:
    app = show("vote", question=question.title(), voter="ann")
    press(app, "Equal")
    (vote,) = votes.stored(done)
    assert (vote.voter, vote.question, vote.answer) == ("ann", question, "equal")
    assert {vote.left, vote.right} == {"gatys", "cut_x"}
    expected = say(vote.left, vote.right, "equal")
    assert (vote.data, vote.left_pictures) == (expected.data, expected.left_pictures)
    assert "Votes on this question: 1, 1 of them yours; people: 1" in words(app)


def test_nothing_comes_twice_until_it_is_taken_back(done: Path) -> None:
    app = show("vote", voter="ann")
    press(press(app, "Left"), "Right")
    assert "You have judged every pair" in app.success[0].value
    assert labels(app) == ["Take back my last vote"]
    press(app, "Take back my last vote")
    assert [vote.answer for vote in votes.stored(done)] == ["left"]
    assert labels(app) == ["Left", "Equal", "Right"]


def test_the_pictures_stay_whatever_others_vote(done: Path) -> None:
    app = show("vote", voter="ann")
    before = app.session_state["ballot"][1]
    for photo in ("alps", "beach"):
        press(show("vote", voter=f"bob {photo}"), "Left")
    app.run()
    assert app.session_state["ballot"][1] == before
    assert "people: 2" in words(app)


def test_a_vote_that_cannot_be_stored_says_why(done: Path) -> None:
    app = show("vote", voter="ann")
    (done / VOTES).mkdir()
    press(app, "Left")
    assert "votes.db: the votes cannot be read or written" in words(app)
    assert not app.button


def test_without_two_methods_there_is_nothing_to_vote_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh_project(tmp_path))
    assert "Nothing has been trained yet" in words(show("vote"))
    alone_in(tmp_path, monkeypatch)
    put(tmp_path, "stylized/gatys/record.json", {})
    app = show("vote")
    assert "no pictures of two methods" in words(app)
    assert not app.button


def test_the_leaderboard_shows_what_people_prefer(done: Path) -> None:
    assert "preference_overall" not in show("leaderboard").dataframe[0].value
    for n in range(NEEDED):
        votes.add(done, say("gatys", "cut_x", "left", f"voter {n}"))
    app = show("leaderboard")
    table = app.dataframe[0].value.set_index("method")
    assert table.loc["gatys", "preference_overall"] > 0
    assert table.loc["cut_x", "votes_overall"] == NEEDED
    assert "People's preferences" in heads(app)
    assert f"overall: votes: {NEEDED}, people: {NEEDED}" in words(app)


def test_a_broken_copy_of_the_votes_is_a_sentence(done: Path) -> None:
    put(done, "votes/votes.csv", "nonsense")
    app = show("leaderboard")
    assert "votes.csv: line 1" in words(app)
    assert app.dataframe[0].value["frechet"].notna().all()
