"""What varies from run to run stands beside the results, and only beside those it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from atelier.core.config import UserError
from atelier.core.files import read_json, write_json
from atelier.core.records import PICTURES, WEIGHTS, aside, cost, digest_of, record, set_aside

MADE = {"method": "cut", "seconds_per_picture": 2.0, "device": "cpu", "run_id": "r1", "pairs": {}}


def test_what_varies_is_moved_and_found_again(tmp_path: Path) -> None:
    assert set_aside(tmp_path, "cut", "stylize", MADE, "d1") == {"method": "cut", "pairs": {}}
    set_aside(tmp_path, "cut", "training", {"training_seconds": 9.0, "steps": 3}, "w1")
    varying = {"seconds_per_picture": 2.0, "device": "cpu", "run_id": "r1"}
    assert aside(tmp_path, "cut", "stylize", "d1") == varying
    assert aside(tmp_path, "cut", "stylize", "another result") == {}
    assert aside(tmp_path, "other", "stylize", "d1") == {}
    scores = {PICTURES: "d1", WEIGHTS: "w1"}
    assert cost(tmp_path, "cut", scores) == {**varying, "training_seconds": 9.0}
    assert cost(tmp_path, "cut", {}) == {}


def test_a_method_does_not_lead_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a plain file name"):
        set_aside(tmp_path, "../../x", "run", {}, None)


def test_a_broken_record_costs_figures_only(tmp_path: Path) -> None:
    path = tmp_path / "results/records/cut.json"
    path.parent.mkdir(parents=True)
    for text in ("", "[]", '{"run": 3}'):
        path.write_text(text)
        assert aside(tmp_path, "cut", "run", None) == {}
    set_aside(tmp_path, "cut", "run", {"run_id": "r1"}, None)
    assert read_json(path)["run"] == {"of": None, "run_id": "r1"}


def test_the_run_is_that_of_the_card(tmp_path: Path) -> None:
    card = tmp_path / "results/models/cut/card.json"
    write_json(card, {"parameters": {"steps": 3}, WEIGHTS: "w1"})
    set_aside(tmp_path, "cut", "run", {"run_id": "r1"}, digest_of([card]))
    set_aside(tmp_path, "cut", "training", {"training_seconds": 9.0}, "w1")
    write_json(card.with_name("training.json"), {"steps": 3})
    assert record(tmp_path, "cut", "run") == {"run_id": "r1"}
    assert record(tmp_path, "cut", "training") == {"steps": 3, "training_seconds": 9.0}
    write_json(card, {"parameters": {"steps": 4}, WEIGHTS: "w2"})
    assert record(tmp_path, "cut", "run") == {}
    assert record(tmp_path, "cut", "training") == {"steps": 3}
