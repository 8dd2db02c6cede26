"""The library's messages are shown once, as plain lines on today's stderr."""

from __future__ import annotations

import logging

import pytest

from atelier.core.logs import show_logs


@pytest.fixture(autouse=True)
def logger(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    found = logging.getLogger("atelier")
    monkeypatch.setattr(found, "handlers", [])
    monkeypatch.setattr(found, "level", found.level)
    return found


def test_messages_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_logs()
    show_logs()
    logging.getLogger("atelier.engine.train").info("train %s: resumes", "cut")
    logging.getLogger("atelier.engine.train").debug("not shown")
    logging.getLogger("elsewhere").info("not shown either")
    assert capsys.readouterr().err == "train cut: resumes\n"


def test_stderr_is_that_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    show_logs()
    logging.getLogger("atelier").warning("one")
    assert capsys.readouterr().err == "one\n"
