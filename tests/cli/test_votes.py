"""``atelier votes``."""

from pathlib import Path

import pytest

from atelier.core.paths import Results
from atelier.reports import votes
from atelier.reports.preferences import NEEDED
from support.cli import atelier
from support.projects import alone_in
from support.voters import say


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return alone_in(tmp_path, monkeypatch)


def test_without_votes_it_says_where_to_vote(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atelier(monkeypatch, "votes") == 0
    assert capsys.readouterr().out == "no votes yet; `make dashboard`, page Vote\n"
    assert not Results(project).votes.exists()


def test_it_prints_the_strengths(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(NEEDED):
        votes.add(project, say("gatys", "cut_x", "left", f"voter {n}"))
    assert atelier(monkeypatch, "votes") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"overall: votes: {NEEDED}, people: {NEEDED}"
    assert [line.split()[0] for line in lines[2:]] == ["method", "-" * 6, "gatys", "cut_x"]


def test_csv_is_all_votes_and_renews_the_copy(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = say("gatys", "cut_x", "left")
    votes.add(project, one)
    Results(project).votes.unlink()
    assert atelier(monkeypatch, "votes", "--csv") == 0
    assert capsys.readouterr().out == votes.to_csv([one])
    assert votes.read(project) == (one,)
