"""Methods side by side: their devices, failures, a busy DVC, Ctrl-C. (DVC is a script here.)"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

import atelier
from atelier.cli import fan_out
from atelier.cli.fan_out import FanOut, dearest_first, lanes
from atelier.cluster import dvc
from atelier.core.config import Params, UserError
from support.scripts import ROOT
from support.waiting import becomes

STAND_IN = """
import os, sys, time
from pathlib import Path
if "status" in sys.argv:
    print("a warning", file=sys.stderr)
    asked = Path("shared.json" if "settings" in sys.argv else "stale.json")
    print(asked.read_text())
    sys.exit()
targets = sys.argv[sys.argv.index("repro") + 1 :]
name = targets[-1].partition("@")[2] or "shared"
threads = os.environ.get("OMP_NUM_THREADS", "")
if name == "busy" and not Path("asked").exists():
    Path("asked").touch()
    sys.exit("ERROR: Unable to acquire lock. Most likely another DVC process is running")
if name == "shared" and Path("shared.json").exists():
    sys.exit("ERROR: 'results/settings.json' is busy, it is being blocked by: (PID 7)")
with open("calls", "a") as file:
    file.write(" ".join([*targets, threads]) + "\\n")
if name.startswith("meets"):  # two of them, side by side or never
    mine = Path(f"here-{os.getpid()}")
    mine.touch()
    while len(list(Path().glob("here-*"))) < 2:
        time.sleep(0.05)
if name == "long":
    import signal
    signal.signal(signal.SIGINT, lambda *_: (Path("interrupted").touch(), sys.exit(130)))
    Path("began").touch()
    while True:
        time.sleep(0.05)
sys.exit("no" if name == "broken" else 0)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which ``python -m dvc`` is the stand-in."""
    (tmp_path / "dvc.py").write_text(STAND_IN)
    names = ("a", "b", "c", "d", "broken", "meets", "meets_too", "busy", "long")
    stale = {f"stylize@{name}": [] for name in names}
    (tmp_path / "stale.json").write_text(json.dumps({"compare": [], **stale}))
    source = Path(atelier.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{source}")
    monkeypatch.setattr(dvc.time, "sleep", lambda _: None)
    return tmp_path


def calls(root: Path) -> list[str]:
    return (root / "calls").read_text().splitlines()


def test_shared_work_first_then_the_stages_of_each_method(root: Path) -> None:
    told = list(FanOut(["a", "b"], [{"OMP_NUM_THREADS": "3"}], root).run())
    first, *others = calls(root)
    assert first.startswith("settings reference")
    assert others == [
        f"--single-item train@{m} stylize@{m} evaluate@{m} denoise@{m} evaluate_denoised@{m} 3"
        for m in "ab"
    ]
    assert [line.split(" (")[0] for line in told] == ["a: done", "b: done"]


def test_finished_methods_are_not_asked_again(root: Path) -> None:
    (root / "stale.json").write_text(json.dumps({"compare": [], "evaluate@b": []}))
    told = list(FanOut(["a", "b", "b"], [{}], root).run())
    assert [line.split(" (")[0] for line in told] == ["a: is up to date", "b: done"]
    assert [line for line in calls(root) if "@a" in line] == []
    assert "train@b" in calls(root)[-1]


def test_a_status_that_cannot_be_had_stops_nothing(root: Path) -> None:
    (root / "stale.json").unlink()
    assert len(list(FanOut(["a", "b"], [{}], root).run())) == 2


def test_a_failure_is_told_and_stops_no_other(root: Path) -> None:
    run = FanOut(["broken", "b"], [{}], root)
    told = list(run.run())
    assert run.failed == ["broken"]
    assert told[0].startswith("broken: failed, see .checkpoints/fan-out/broken.log")
    assert (root / ".checkpoints/fan-out/broken.log").read_text().strip() == "no"
    assert "train@b" in calls(root)[-1]


def test_as_many_at_once_as_there_are_lanes(root: Path) -> None:
    run = FanOut(["meets", "meets_too"], [{}, {}], root)
    assert len(list(run.run())) == 2
    assert not run.failed


def test_a_busy_dvc_is_asked_again(root: Path) -> None:
    run = FanOut(["busy"], [{}], root)
    assert "done" in next(run.run())
    assert (root / "asked").exists()


def test_a_method_that_another_run_works_on_is_waited_for(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / dvc.LOGS).mkdir(parents=True)
    with FileLock(root / dvc.LOGS / "a.lock"):
        told = FanOut(["a", "b"], [{}, {}], root).run()
        assert next(told).startswith("b: done")
        assert not [line for line in calls(root) if "train@a" in line]
    assert next(told).startswith("a: done")
    assert caplog.messages == ["a: waits for another fan-out, which is working on it"]


def test_shared_results_that_another_run_reads_serve_this_one_too(root: Path) -> None:
    (root / "shared.json").write_text("{}")
    assert [line.split(" (")[0] for line in FanOut(["a"], [{}], root).run()] == ["a: done"]


def test_shared_stages_cannot_run_again_while_another_run_reads_their_results(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc, "PATIENCE", 2)
    (root / "shared.json").write_text('{"settings": []}')
    with pytest.raises(UserError, match="have to run again, but another run reads"):
        list(FanOut(["a"], [{}], root).run())


def test_a_method_that_dvc_alone_works_on_is_not_called_a_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc, "PATIENCE", 1)
    told = next(FanOut(["busy"], [{}], root).run())
    assert told.startswith("busy: is in use by another DVC, see .checkpoints/fan-out/busy.log")


def test_without_pictures_nothing_is_begun(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc, "SHARED", ("reference@broken",))
    with pytest.raises(UserError, match="preparing the pictures failed; see"):
        list(FanOut(["a"], [{}], root).run())
    assert len(calls(root)) == 1


def test_interrupted_no_further_method_is_begun(root: Path) -> None:
    run = FanOut(["a", "b", "c", "d"], [{}], root)
    told = run.run()
    next(told)
    with pytest.raises(KeyboardInterrupt):
        told.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert "train@d" not in " ".join(calls(root))


def test_interrupted_those_running_save_and_end(root: Path) -> None:
    run = FanOut(["a", "long"], [{}, {}], root)
    told = run.run()
    next(told)
    assert becomes((root / "began").exists)
    with pytest.raises(KeyboardInterrupt):
        told.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert (root / "interrupted").exists()
    assert not run.dvc.children.running


def test_what_is_begun_while_all_are_stopped_is_stopped_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    children, popen = dvc.Children(), subprocess.Popen

    def slow(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] = popen(*args, **options)
        children.stop()  # another thread's, meanwhile
        return child

    monkeypatch.setattr(subprocess, "Popen", slow)
    with children.start(["sleep", "600"]) as child:
        assert child.wait(60) == -signal.SIGTERM


def test_what_takes_long_is_begun_first() -> None:
    """Trainings, then optimisations, then what begins with finished weights."""
    params = Params.load(ROOT / "params.yaml").at("demo")
    names = ["cut", "adain", "gatys", "fast_night", "nnst"]
    assert dearest_first(params, names) == ["gatys", "nnst", "cut", "adain", "fast_night"]
    assert dearest_first(params.at("smoke"), names)[-2:] == ["gatys", "nnst"]


def test_lanes_share_the_cores_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(fan_out, "cores", lambda: 16)
    assert lanes() == [{"OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "PASSIVE"}] * 4
    assert [lane["OMP_NUM_THREADS"] for lane in lanes(2)] == ["8", "8"]
    monkeypatch.setattr(fan_out, "cores", lambda: 2)
    assert [lane["OMP_NUM_THREADS"] for lane in lanes()] == ["1", "1"]
    monkeypatch.setattr(fan_out, "cores", lambda: 16)
    with pytest.raises(UserError, match="only 16"):
        lanes(17)


def test_a_lane_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert lanes() == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert lanes(1) == [{"CUDA_VISIBLE_DEVICES": "5"}]
    assert lanes(devices=2) == [{"CUDA_VISIBLE_DEVICES": "5,7"}]
