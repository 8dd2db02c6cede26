"""The figure of the zoo's trainings: numbers of entries that exist, curves of trainings."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from atelier.core.config import Params, UserError
from atelier.core.paths import Results
from tools import trainings


def test_a_curve_is_the_means_of_equal_intervals() -> None:
    curve = pd.Series([8.0, 6.0, float("nan"), 4.0, 2.0], index=pd.Index(range(1, 6), name="step"))
    assert trainings.means(curve, 2) == {"step": [1.5, 4.5], "value": [7.0, 3.0]}
    assert trainings.means(curve.iloc[:1], 2) == {"step": [1.0], "value": [8.0]}


def test_what_is_published_is_of_entries_that_exist() -> None:
    found = json.loads(trainings.NUMBERS.read_text())
    assert {*found["scores"], *found["losses"]} <= {*Params.load().method_names}
    assert all(phase["steps"] > 0 for phases in found["scores"].values() for phase in phases)


def test_losses_are_taken_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = Results(tmp_path).curves("efdm")
    losses.parent.mkdir(parents=True)
    losses.write_text("step,content,style,total\n1,2,8,10\n2,1,4,5\n")
    numbers = tmp_path / "trainings.json"
    numbers.write_text(trainings.NUMBERS.read_text())
    monkeypatch.setattr(trainings, "NUMBERS", numbers)
    monkeypatch.setattr(trainings, "PICTURE", tmp_path / "trainings.png")
    trainings.main(tmp_path, "efdm")
    taken = json.loads(numbers.read_text())["losses"]["efdm"]
    assert taken == {
        "content": {"step": [1.0, 2.0], "value": [2.0, 1.0]},
        "style": {"step": [1.0, 2.0], "value": [8.0, 4.0]},
    }
    with Image.open(tmp_path / "trainings.png") as picture:
        assert picture.width > 1000
    with pytest.raises(UserError, match="train@wct"):
        trainings.main(tmp_path, "wct")
