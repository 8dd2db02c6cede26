"""Weights on disk: written whole, read strictly."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from atelier.core.checkpoints import load_weights, newest_state, save_state, save_weights
from atelier.core.config import UserError


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
    assert newest_state(tmp_path) == {"step": 5}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005.pt"]


def test_another_error_of_torchs_writer_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("cannot pickle")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(RuntimeError, match="cannot pickle"):
        save_state(tmp_path, 5, {"step": 5})


def test_no_state_is_no_error(tmp_path: Path) -> None:
    assert newest_state(tmp_path) is None
    save_state(tmp_path, 5, {"step": 5})
    assert newest_state(tmp_path) == {"step": 5}
