"""What a node passes on of a step's log."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.cluster import node
from atelier.cluster.node import Reporter, be_interruptible
from support.waiting import becomes


def test_a_log_is_passed_on_as_it_grows_and_begins_again_when_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, passed = tmp_path / "logs/train.log", []
    monkeypatch.setattr(node, "SECONDS", 0.01)
    report = Reporter(lambda _: None, passed.append)
    with report.following(path):
        path.write_text("DVC is busy")
        assert becomes(lambda: bool(passed))
        path.write_text("a")
        assert becomes(lambda: "".join(passed) == "DVC is busya")
        with path.open("a") as file:
            file.write("é, the last words")
    assert "".join(passed) == "DVC is busyaé, the last words"


@pytest.fixture
def _handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_handler")
def test_a_task_is_interrupted_once_even_if_it_ignored_that_before() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for _ in range(2):  # a worker's next task is interruptible again
        be_interruptible()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("_handler")
def test_what_a_task_starts_can_be_interrupted_though_ray_blocks_that() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    be_interruptible()
    interrupted = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    assert (
        subprocess.run(
            [sys.executable, "-c", interrupted], check=False, capture_output=True
        ).returncode
        == -signal.SIGINT
    )
