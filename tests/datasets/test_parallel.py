"""Many files on all cores: progress, a dead worker, Ctrl-C."""

from __future__ import annotations

import _thread
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from atelier.core import images
from atelier.core.config import UserError
from atelier.datasets.parallel import parallel
from atelier.tracking.progress import progress
from support.pictures import data_folder, save


def test_progress_off_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.tracking.progress.PLAIN_EVERY", 0.0)
    assert list(progress("ab", 2, "work")) == ["a", "b"]
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("work: 1/2, about ")
    assert re.fullmatch(r"work: 2/2 in \d+ s", told[-1])


def _die(n: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return n


@pytest.mark.slow
def test_a_dead_worker_is_told() -> None:
    with pytest.raises(UserError, match="work: a worker process died"):
        list(parallel(_die, range(64), "work", workers=2))


def _wait(n: int) -> int:
    time.sleep(0.05)
    return n


@pytest.mark.slow
def test_what_is_stopped_says_nothing_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    # of a process started in the background, Ctrl-C is ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        work = parallel(_wait, range(2000), "work", workers=2)
        assert next(work) == 0
        threading.Timer(0.3, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            list(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert told == []
    assert threading.excepthook == told.append, "the former one is back"


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_of_it(tmp_path: Path) -> None:
    """Not of memory, which it has enough of."""
    (tmp_path / "go.py").write_text(
        "from atelier.datasets.parallel import parallel\n"
        "list(parallel(abs, range(64), 'work', workers=2))\n"
    )
    done = subprocess.run(
        [sys.executable, "go.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'put the call below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert "memory" not in done.stderr
    assert done.stderr.count("Traceback") == 1, "of the script alone"


@pytest.mark.slow
def test_ctrl_c_stops_the_pool_at_once(tmp_path: Path) -> None:
    train = data_folder(tmp_path / "data") / "photos" / "train"
    big = save(tmp_path / "big.png", size=(3000, 3000))
    for n in range(70):
        (train / f"big_{n}.png").symlink_to(big)
    code = (
        "import signal; from pathlib import Path; from atelier.datasets.prepare import *\n"
        "if __name__ == '__main__':\n"
        # a shell's background jobs, such as these tests may be, start with Ctrl-C ignored
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    prepare(Path('data'), Path('out'), PrepareSettings(size=2048, workers=2), 0)\n"
    )
    (tmp_path / "go.py").write_text(code)
    child = subprocess.Popen(
        [sys.executable, "go.py"], cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True
    )
    part = tmp_path / ".out.part"
    while not images.find(part) and not list(part.rglob(".*.part")):
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)  # the parent alone, as a supervisor would
    _, told = child.communicate(timeout=600)
    assert not re.search(rb"(?<!hash: )(\d+)/\1 in", told), (
        "it did not work to the end before it stopped"
    )
    assert child.returncode != 0
    assert b"KeyboardInterrupt" in told
    assert b"InvalidStateError" not in told
    assert not part.exists()
    assert not (tmp_path / "out").exists()
