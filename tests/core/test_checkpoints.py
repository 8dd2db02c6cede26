"""Weights on disk: written whole, read strictly."""

from __future__ import annotations

import errno
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from torch import nn

from atelier.core.checkpoints import (
    load_some,
    load_weights,
    newest_state,
    save_final_state,
    save_state,
    save_weights,
)
from atelier.core.config import UserError
from atelier.core.torch_files import read_torch


def test_weights_come_back(tmp_path: Path) -> None:
    one, other = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)
    one = one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_weights(one.state_dict(), tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(one.weight, other.weight)


def test_missing_broken_and_foreign_weights_are_named(tmp_path: Path) -> None:
    path, network = tmp_path / "w.safetensors", nn.Conv2d(3, 2, 3)
    with pytest.raises(UserError, match="is missing; train the method first"):
        load_weights(network, path)
    path.write_bytes(b"\0" * 20)
    with pytest.raises(UserError, match="not a readable weight file"):
        load_weights(network, path)
    save_weights(nn.Conv2d(3, 4, 3).state_dict(), path)
    with pytest.raises(UserError, match="trained with other settings"):
        load_weights(network, path)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_the_systems_error_and_the_last_state_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path, 5, {"step": 5})
    save = torch.save  # torch opens what it is given: the device itself stays as it is
    monkeypatch.setattr(torch, "save", lambda state, _: save(state, "/dev/full"))
    with pytest.raises(OSError, match="inline_container") as got:
        save_state(tmp_path, 6, {"step": 6, "w": torch.zeros(9999)})
    assert got.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert newest_state(tmp_path, 9) == {"step": 5}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005.pt"]


def test_states_of_more_steps_are_left_alone(tmp_path: Path) -> None:
    """Fewer steps were asked for, perhaps by mistake: what the longer training has is not lost."""
    for step in (900, 1000, 10, 20, 30):
        save_state(tmp_path, step, {"step": step})
    names = sorted(int(path.stem.split("-")[1]) for path in tmp_path.iterdir())
    assert names == [20, 30, 900, 1000]
    assert newest_state(tmp_path, 500) == {"step": 30}
    assert newest_state(tmp_path, 1000) == {"step": 1000}


def test_a_finished_state_is_for_more_steps_alone(tmp_path: Path) -> None:
    for step in (3, 6):
        save_state(tmp_path, step, {"step": step})
    save_final_state(tmp_path, 9, {"step": 9})
    assert [path.name for path in tmp_path.iterdir()] == ["final-00000009.pt"]
    assert newest_state(tmp_path, 9) is None, "trained again, it begins anew"
    assert newest_state(tmp_path, 10) == {"step": 9}
    save_state(tmp_path, 5, {"step": 5})
    assert newest_state(tmp_path, 9) == {"step": 5}, "of the training that is done again"


def test_another_error_of_torchs_writer_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("cannot pickle")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(RuntimeError, match="cannot pickle"):
        save_state(tmp_path, 5, {"step": 5})


def test_no_state_is_no_error(tmp_path: Path) -> None:
    assert newest_state(tmp_path, 9) is None
    save_state(tmp_path, 5, {"step": 5})
    assert newest_state(tmp_path, 9) == {"step": 5}


def flip(path: Path) -> None:
    """Change one bit of a tensor in a saved state."""
    with ZipFile(path) as file:
        (member,) = (info for info in file.infolist() if info.filename.endswith("data/0"))
    raw = bytearray(path.read_bytes())
    at = member.header_offset
    name, extra = (int.from_bytes(raw[at + n : at + n + 2], "little") for n in (26, 28))
    raw[at + 30 + name + extra + 5] ^= 4
    path.write_bytes(raw)


def test_a_changed_bit_is_seen_and_the_state_before_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        path = save_state(tmp_path, step, {"step": step, "w": torch.ones(9)})
    flip(path)
    found = newest_state(tmp_path, 9)
    assert found is not None
    assert found["step"] == 1
    assert "step-00000002.pt: cannot be read" in caplog.text
    assert "data/0 has changed since it was written" in caplog.text
    flip(tmp_path / "step-00000001.pt")
    assert newest_state(tmp_path, 9) is None


def test_a_readable_state_that_does_not_fit_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        save_state(tmp_path, step, {"step": step})
    found = newest_state(tmp_path, 9, lambda state: "is odd" if state["step"] == 2 else "")
    assert found == {"step": 1}
    assert "step-00000002.pt: is odd; trying an older one" in caplog.text


@pytest.mark.slow
def test_equal_tensors_and_notes_are_equal_files_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path;"
        "from atelier.core.checkpoints import save_tensors;"
        "save_tensors({'b': torch.ones(2), 'a': torch.zeros(3)}, Path(sys.argv[1]),"
        " {f'note {n}': 'caf\u00e9 \"' + str(n) for n in range(9)})"
    )
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    head = (tmp_path / "one").read_bytes()[8:500].decode(errors="ignore")
    places = [head.index(f"note {n}") for n in range(9)]
    assert places == sorted(places)


LIMITED = """
import errno, resource, signal, sys, torch
from pathlib import Path
from atelier.core.checkpoints import save_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    save_tensors({"w": torch.zeros(99_999)}, Path(sys.argv[1]))
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.slow
def test_what_the_system_refuses_weights_with_is_its_own_error(tmp_path: Path) -> None:
    """A limit of the process stands for a full disk: safetensors renames over what it is given."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "w.safetensors")]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told.strip() == errno.errorcode[errno.EFBIG]
    assert [path for path in tmp_path.iterdir() if path.suffix != ".tmp"] == []


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_nobody_is_told_how_to_run_the_code_in_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_state(tmp_path, 1, {"networks": Harmful()})
    assert newest_state(tmp_path, 9) is None
    with pytest.raises(UserError) as refused:
        load_some(nn.Linear(1, 1), path)
    for said in (caplog.text, str(refused.value)):
        assert "step-00000001.pt: refused, it holds more than weights: " in said
        assert "weights_only" not in said
        assert "can still be loaded" not in said
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("harmful", [Harmful(), nn.Linear(1, 1)])
def test_what_a_file_holds_beside_weights_is_named_and_nothing_is_advised(
    tmp_path: Path, harmful: object
) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": harmful}, path)
    with pytest.raises(UserError) as refused:
        read_torch(path)
    name = str(refused.value).rpartition(": ")[2]
    assert name in {"print", "torch.nn.modules.linear.Linear"}


def test_of_another_pickle_there_is_one_sentence(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(UserError, match="not a readable weight file: "):
        read_torch(path)
    assert not recwarn


def test_a_file_that_is_no_state_of_a_training_is_named(tmp_path: Path) -> None:
    path = save_state(tmp_path, 1, {"w": torch.ones(1)})
    with pytest.raises(UserError, match=r"step-00000001.pt: is not a checkpoint of a training"):
        load_some(nn.Linear(1, 1), path)
