"""What a node passes on of a step's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from atelier.cluster import node
from atelier.cluster.node import Reporter


def test_a_log_is_passed_on_as_it_grows_and_begins_again_when_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, passed = tmp_path / "logs/train.log", []
    monkeypatch.setattr(node, "SECONDS", 0.01)
    report = Reporter(lambda _: None, passed.append)
    with report.following(path):
        path.write_text("DVC is busy")
        while not passed:
            pass
        path.write_text("a")
        while "".join(passed) != "DVC is busya":
            pass
        with path.open("a") as file:
            file.write("é, the last words")
    assert "".join(passed) == "DVC is busyaé, the last words"
