"""Children end with their parents; the dead are known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atelier.core import process
from atelier.core.process import dvc_at_work, identity, is_gone
from support.waiting import becomes

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


def dead(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_process_is_known_by_more_than_its_number() -> None:
    assert not is_gone(identity())
    pid, born, boot, machine = identity().split()
    assert is_gone(f"{pid} {int(born) + 1} {boot} {machine}"), "a later one of the same number"
    assert is_gone(f"{pid} {born} another-start {machine}")
    assert not is_gone(f"{pid} {born} another-start another-machine"), "cannot be told"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_gone(f"{ended.pid} {born} {boot} {machine}")
    for unknown in (None, "", 7, "x", "1 2 3", "? ? ? ?"):
        assert not is_gone(unknown)


def test_a_command_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = [sys.executable, "-m", "atelier.core.process", "sleep", "600"]
    code = f"import subprocess, sys; c = subprocess.Popen({child!r}); print(c.pid, flush=True);"
    parent = subprocess.Popen(
        [sys.executable, "-c", code + "c.wait()"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert becomes(lambda: process._name(pid) == "sleep")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert becomes(lambda: dead(pid))


STAGE = """
import os, sys, time
from pathlib import Path
from atelier.core import process
process.WATCH_SECONDS = 0.05
process.interrupt_on_sigterm()
process.follow_dvc()
Path("pid").write_text(str(os.getpid()))
try:
    time.sleep(600)
except KeyboardInterrupt:
    Path("saved").touch()
"""


@pytest.mark.parametrize("shell", [True, False])
def test_a_stage_saves_when_its_dvc_is_killed(tmp_path: Path, shell: bool) -> None:
    (tmp_path / "stage.py").write_text(STAGE)
    line = f"{sys.executable} stage.py; exit" if shell else [sys.executable, "stage.py"]
    code = f"import subprocess; subprocess.run({line!r}, shell={shell})"
    dvc = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "DVC_STAGE": "train@x"}
    )
    assert becomes((tmp_path / "pid").exists)
    assert becomes(lambda: bool((tmp_path / "pid").read_text()))
    dvc.kill()
    dvc.wait()
    assert becomes((tmp_path / "saved").exists)


@pytest.mark.parametrize("shell", [True, False])
def test_a_stage_whose_dvc_died_before_it_began_does_not_begin(tmp_path: Path, shell: bool) -> None:
    """As while it imports torch."""
    if process._runs_dvc(process._command(1)):
        pytest.skip("PID 1 is DVC here")
    begun = "import time\nfrom pathlib import Path\nPath('importing').touch()\ntime.sleep(1)\n"
    (tmp_path / "stage.py").write_text(begun + STAGE + "Path('on').touch()\n")
    line = f"{sys.executable} stage.py; exit" if shell else [sys.executable, "stage.py"]
    code = f"import subprocess; subprocess.run({line!r}, shell={shell})"
    dvc = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "DVC_STAGE": "train@x"}
    )
    assert becomes((tmp_path / "importing").exists)
    dvc.kill()
    dvc.wait()
    time.sleep(3)
    assert not (tmp_path / "pid").exists()


def test_dvc_at_work_is_seen_in_its_project_only(tmp_path: Path) -> None:
    (tmp_path / "one/below").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "one/below/dvc.py").write_text("import time\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "dvc"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "one/below")}
    with subprocess.Popen(command, cwd=tmp_path / "one/below", env=env) as running:
        try:
            assert becomes(lambda: dvc_at_work(tmp_path / "one") == [running.pid])
            assert dvc_at_work(tmp_path / "two") == []
        finally:
            running.send_signal(signal.SIGKILL)
    assert dvc_at_work(tmp_path / "one") == []
