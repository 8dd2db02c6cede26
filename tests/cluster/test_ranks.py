"""Processes of a training on one machine: their variables, and what follows when one fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from atelier.cluster import ranks
from atelier.cluster.ranks import killed_by, last_line, run_ranks, variables

SCRIPT = """
import os, signal, sys, time
rank = os.environ["RANK"]
open(rank, "w").close()
if rank == "1": {end}
time.sleep({seconds})
"""


def run(folder: Path, end: str, seconds: float = 600, elsewhere: bool = False) -> int:
    """Exit code of two processes, of which the second ends as said."""
    script = SCRIPT.format(end=end, seconds=seconds)
    environments = [os.environ | one for one in variables(0, 2, 4, "127.0.0.1", 1)]

    def failed() -> bool:
        return elsewhere and (folder / "0").exists() and (folder / "1").exists()

    return run_ranks(["-c", script], environments, failed, cwd=folder)


def test_every_process_knows_its_place() -> None:
    _, second = variables(2, 2, 4, "10.0.0.1", 7)
    assert second == {
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "7",
    }


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 137)]
)
def test_when_one_fails_the_others_are_ended(
    end: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "GRACE", 0.1)
    assert run(tmp_path, end) == code


def test_when_one_fails_elsewhere_all_here_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "GRACE", 0.1)
    assert run(tmp_path, "pass", elsewhere=True) == 1


def test_if_none_fails_all_are_waited_for(tmp_path: Path) -> None:
    assert run(tmp_path, "sys.exit()", seconds=0.1) == 0


def test_only_of_a_signal_something_has_to_be_said() -> None:
    assert [killed_by(code) for code in (0, 1, 128, 130)] == [""] * 4
    assert killed_by(137) == "a process was ended by SIGKILL"


def test_the_last_line_is_the_reason(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none") == ""
    (tmp_path / "log").write_text("step 1\nerror: why\n\n")
    assert last_line(tmp_path / "log") == "error: why"
