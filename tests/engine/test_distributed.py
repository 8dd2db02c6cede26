"""Divided batches: in parts one after another, and among processes that torchrun starts."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atelier.core.batches import Batch
from atelier.core.config import UserError
from atelier.engine.distributed import ALONE, ProcessGroup, launch, own_device, started
from atelier.engine.loop import Trainer
from support.steps import smooth
from support.toy import even

CHILD = """
import sys
from pathlib import Path
import torch
from atelier.engine.distributed import process_group
from support.toy import even
folder, steps, stop = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with process_group("cpu") as group:
    own = f"states{group.rank}"  # as on machines that share no disk
    (folder / own).mkdir(exist_ok=True)
    (folder / own / "note").write_text(own)
    group.copy(folder / own / "note")
    group.copy(folder / own / "none")
    assert (folder / own / "note").read_text() == "states0"
    one = even(folder, group=group, folder=own, steps=steps, save_minutes=0)
    for result in one.run():
        if result.step == stop:
            break
    torch.save([dict(one.method.networks.state_dict()), one.history], folder / f"{group.rank}.pt")
"""


def two(
    python: Path, folder: Path, steps: int = 6, stop: int = 0
) -> list[tuple[dict[str, Tensor], dict]]:  # type: ignore[type-arg]
    """What each of two processes has at its end, or after ``stop`` steps."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = folder / "child.py"
    script.write_text(CHILD)
    path = f"{Path(__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": str(python)}
    subprocess.run(
        [python, *command, str(script), str(folder), str(steps), str(stop)],
        check=True,
        env=env,
        capture_output=True,
        timeout=600,
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def finished(one: Trainer) -> Trainer:
    for _ in one.run():
        pass
    return one


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_one_after_another_give_the_whole_batchs_gradient(
    tmp_path: Path, accumulate: int
) -> None:
    whole = finished(even(tmp_path / "whole", steps=5))
    parts = finished(even(tmp_path / "parts", steps=5, accumulate=accumulate))
    close(whole.method.networks.state_dict(), parts.method.networks.state_dict())
    assert parts.history["total"] == pytest.approx(whole.history["total"], rel=1e-5)


@pytest.fixture(scope="module")
def python(warm_programs: Path) -> Path:
    """An interpreter that has torch imported, for launchers and what they launch."""
    return warm_programs / "python"


@pytest.fixture(scope="module")
def both(
    python: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[dict[str, Tensor], dict]]:  # type: ignore[type-arg]
    """What each of two processes has after a training that nobody stopped."""
    return two(python, tmp_path_factory.mktemp("both"))


@pytest.mark.slow
def test_two_processes_train_like_one_with_the_joint_batch(both: Any, tmp_path: Path) -> None:
    (first, history), (second, _) = both
    alone = finished(even(tmp_path, steps=6, folder="alone"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    close(first, alone.method.networks.state_dict())
    assert history["total"] == pytest.approx(alone.history["total"], rel=1e-5)


@pytest.mark.slow
def test_two_processes_resume_like_two_that_never_stopped(
    both: Any, python: Path, tmp_path: Path
) -> None:
    (whole, _), _ = both
    two(python, tmp_path, stop=5)  # before its state is saved: the last is that of step 4
    (parts, _), _ = two(python, tmp_path)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_training_of_two_devices_does_not_resume_on_one(tmp_path: Path) -> None:
    one = even(tmp_path, steps=2)
    finished(one).save()
    state = next((tmp_path / "states").glob("*.pt"))
    found = torch.load(state, weights_only=True)
    torch.save({**found, "extra": [{}, {}]}, state)
    with pytest.raises(UserError, match="started on 2 devices"):
        even(tmp_path, steps=2)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 pictures cannot be divided into 3 equal parts"):
        even(tmp_path, accumulate=3)


def test_parts_have_their_own_pictures_and_draws() -> None:
    batch = Batch(3, 5, smooth(4), smooth(4, seed=1), ("a",))
    parts = [batch.part(n, 2) for n in (0, 1)]
    assert torch.equal(torch.cat([part.content for part in parts]), batch.content)
    assert torch.equal(torch.cat([part.style for part in parts]), batch.style)
    draws = [part.generator("x").initial_seed() for part in parts]
    assert draws[0] == batch.generator("x").initial_seed() != draws[1]


def test_a_single_style_stays_whole() -> None:
    batch = Batch(3, 5, smooth(4), smooth(1), ("a",))
    assert all(torch.equal(batch.part(n, 2).style, batch.style) for n in (0, 1))


def test_one_process_alone() -> None:
    values = torch.ones(3)
    ALONE.average([values])
    assert torch.equal(values, torch.ones(3))
    assert ALONE.means({"a": 2.0}) == {"a": 2.0}
    assert ALONE.gather(1) == [1]
    assert not ALONE.any(False)


def test_a_script_is_replaced_by_as_many_as_there_are_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: calls.append(command))
    monkeypatch.setattr(sys, "argv", ["stages/train.py", "cyclegan"])
    launch(1, "cpu")
    assert not calls
    launch(3, "cpu")
    assert calls[0][-3:] == ["--nproc-per-node=3", "stages/train.py", "cyclegan"]
    monkeypatch.setenv("WORLD_SIZE", "3")
    launch(3, "cpu")
    assert len(calls) == 1
    monkeypatch.delenv("WORLD_SIZE")
    launch(4, "cpu", nodes=2)
    assert find_spec(calls[1][2])
    assert calls[1][1:] == ["-m", "atelier.cluster.launcher", "stages/train.py", "cyclegan"]
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert started()


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda", "devices: 2, but 1 GPUs are visible"), ("cuda:1", "needs `device: cuda` or auto")],
)
def test_too_few_gpus_are_told_before_anything_is_begun(
    device: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=message):
        launch(2, device)


def test_a_fault_of_one_process_stops_all_for_the_same_reason(tmp_path: Path) -> None:
    class Two(ProcessGroup):
        def gather(self, value: object) -> list[object]:
            return [value, "step 1: the loss 'total' is not finite"]

    one = even(tmp_path, steps=2)
    one.guard.group = Two()
    with pytest.raises(UserError, match="step 1: the loss 'total' is not finite"):
        finished(one)


def test_every_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cuda") == "cuda"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("cuda") == "cuda:1"
    assert own_device("cpu") == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("print('error: why', file=sys.stderr); sys.exit(3)", 3, ["error: why"]),
        ("os.kill(os.getpid(), 9)", 137, ["error: process 0 was ended by SIGKILL"]),
        ("sys.exit()", 0, []),
    ],
)
def test_of_processes_that_fail_their_own_words_are_all_there_is(
    end: str, code: int, said: list[str], python: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import os, sys\nif os.environ['RANK'] == '0': {end}\n")
    launcher = [python, "-m", "atelier.engine.launcher", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node=2", str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr.splitlines()) == (code, said)
