"""Vote: which of two unnamed pictures is better, beside their photograph and painting."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from atelier.core.config import UserError
from atelier.metrics.catalogue import QUESTIONS
from atelier.reports import outputs, preferences, votes
from atelier.reports.ballots import Ballot, next_ballot
from atelier.reports.votes import Answer, Vote
from parts import pictures, project
from parts.project import Project, literal

KEYS: Mapping[Answer, str] = {"left": "Left", "equal": "Down", "right": "Right"}
"""Answer → its arrow key; the button shows it."""
BALLOT, ASKED, LAST, PROBLEM, VOTER = "ballot", "asked", "last_vote", "vote_problem", "voter"


def page() -> None:
    """Draw the page from top to bottom."""
    found = project.begin("Vote")
    photos = {path.stem: path for path in outputs.test_photos(found.root)}
    digests = preferences.pictures(found.root, found.params.method_names)
    offered = offer(found.root, photos, digests)
    if max(map(len, offered.values()), default=0) < 2:
        if not found.fresh:
            st.info("There are no pictures of two methods to choose from; run `dvc repro`.")
        return
    question = choose()
    above, below = st.container(), st.container(horizontal=True, vertical_alignment="bottom")
    with below:
        factor = pictures.zoom("vote_size", 1)
        voter = who()
    try:
        known = preferences.study(found.root, list(digests), votes.stored(found.root)).on(question)
    except UserError as error:
        st.error(literal(error))
        return
    ballot = held(found, question, offered, known, voter)
    with above:
        if ballot:
            ask(found, photos[ballot.photo], ballot, factor)
            answers(found, ballot, voter, digests)
        else:
            st.success("You have judged every pair there is on this question.")
    footer(found, known, voter)


def offer(
    root: Path, photos: Mapping[str, Path], digests: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return photograph → methods that have a picture of it."""
    return {
        photo: [name for name in digests if outputs.stylised(root, name, photo)] for photo in photos
    }


def choose() -> str:
    """Return the question, which is part of the URL."""
    return str(
        st.segmented_control(
            "Question", list(QUESTIONS), default=next(iter(QUESTIONS)), required=True,
            key="question", format_func=project.title, bind="query-params",
        )
    )  # fmt: skip


def who() -> str:
    """Draw the voter's name, by default one made up; the URL keeps it over a reload."""
    st.session_state.setdefault(VOTER, f"voter-{secrets.token_hex(3)}")
    name = st.text_input(
        "Voter", key=VOTER, bind="query-params", persist_state="session", width=220, max_chars=60,
        help="Any name; it is stored with the votes. Nobody is asked the same thing twice.",
    )  # fmt: skip
    return (name or "").strip() or "anonymous"


def held(
    found: Project,
    question: str,
    offered: Mapping[str, list[str]],
    known: tuple[Vote, ...],
    voter: str,
) -> Ballot | None:
    """Return the two pictures to show: the same ones until answered, whatever others vote."""
    asked = (question, voter, offered, outputs.digest(found.root))
    if st.session_state.get(BALLOT, (None,))[0] != asked:
        ballot = next_ballot(question, offered, known, voter, found.params.seed)
        st.session_state[BALLOT] = (asked, ballot)
        st.session_state[ASKED] = st.session_state.get(ASKED, 0) + 1
    shown: Ballot | None = st.session_state[BALLOT][1]
    return shown


def ask(found: Project, photo: Path, ballot: Ballot, factor: int) -> None:
    """Draw the question, the photograph, its painting and the two pictures, without their names."""
    st.header(QUESTIONS[ballot.question], anchor=False)
    painting = outputs.painting_for(found.root, ballot.photo)
    with pictures.grid("vote", factor):
        pictures.card("Photograph", photo, ballot.photo, "the photograph", factor=factor)
        style = painting.stem if painting else pictures.NO_PAINTING
        pictures.card("Painting", painting, style, "the painting", factor=factor)
        for side, name in (("Left", ballot.left), ("Right", ballot.right)):
            path = outputs.stylised(found.root, name, ballot.photo)
            pictures.card(side, path, "", f"the picture on the {side.lower()}", factor=factor)


def answers(found: Project, ballot: Ballot, voter: str, digests: Mapping[str, str]) -> None:
    """Draw the three buttons, which arrow keys press, too."""
    vote = Vote(
        "", voter, ballot.question, ballot.photo, ballot.left, ballot.right, "",
        outputs.digest(found.root) or "", digests[ballot.left], digests[ballot.right],
    )  # fmt: skip
    with st.container(horizontal=True, gap="small", width=540):
        for answer, shortcut in KEYS.items():
            # Other buttons for every question: a second press on the last ones answers nothing.
            st.button(
                project.title(answer), key=f"answer {answer} {st.session_state[ASKED]}",
                shortcut=shortcut, on_click=cast, args=(found.root, vote, answer), width="stretch",
            )  # fmt: skip


def cast(root: Path, vote: Vote, answer: Answer) -> None:
    """Store a vote; an error is shown by the page that follows."""
    given = vote.answered(answer)
    st.session_state.pop(BALLOT, None)
    try:
        if votes.add(root, given):
            st.session_state[LAST] = given
    except UserError as error:
        st.session_state[PROBLEM] = str(error)


def take_back(root: Path, vote: Vote) -> None:
    """Withdraw the last vote; its pictures come again."""
    st.session_state.pop(LAST, None)
    st.session_state.pop(BALLOT, None)
    try:
        votes.withdraw(root, vote)
    except UserError as error:
        st.session_state[PROBLEM] = str(error)


def footer(found: Project, known: tuple[Vote, ...], voter: str) -> None:
    """Draw what went wrong, the number of votes, and a button to take the last one back."""
    problem = st.session_state.pop(PROBLEM, "")
    if problem:
        st.error(literal(problem))
    mine, people = sum(vote.voter == voter for vote in known), len({v.voter for v in known})
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"Votes on this question: {len(known)}, {mine} of them yours; people: {people}. What "
            "they say is on the Leaderboard, where it does not influence anybody who votes.",
            width="content",
        )
        last = st.session_state.get(LAST)
        if last:
            icon = ":material/undo:"
            st.button("Take back my last vote", key="take back", type="tertiary", icon=icon,
                      on_click=take_back, args=(found.root, last))  # fmt: skip


page()
