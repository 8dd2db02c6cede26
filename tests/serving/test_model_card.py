"""The Markdown that MLflow shows of a method."""

from __future__ import annotations

from pathlib import Path

import pytest

from atelier.core.files import read_json, write_json
from atelier.serving.model_card import describe, headline
from support.hostile import TEXTS, brought_in
from support.models import project


def test_card_and_figures_are_in_it(tmp_path: Path) -> None:
    project(tmp_path, "adain")
    scored = {"frechet": 12.345678, "kid": None, "ssim": 0.5, "training_seconds": 61.0}
    about = {
        "features": "mini",
        "features_hash": "b1bafb63fef7",
        "n_generated": 8,
        "n_reference": 16,
    }
    text = describe(tmp_path, "adain", {**scored, **about})
    assert text.startswith(
        "**adain** · AdaIN: arbitrary style transfer by channel statistics (Huang"
    )
    rows = (
        "| Fréchet distance to the paintings | 12.35 |",
        "| SSIM to the photographs | 0.5 |",
        "| training time in seconds | 61 |",
    )
    assert "\n".join(rows) in text
    assert "| trained parameters | 766,499 |" in text
    assert "Distances on mini b1bafb63, 8 pictures against 16 paintings" in text
    assert "Kind: arbitrary. Trained with mini" in text
    assert "kernel" not in text, "a figure that is not there has no row"


def test_distances_to_held_out_paintings_have_rows_of_their_own(tmp_path: Path) -> None:
    project(tmp_path, "adain")
    unseen = {"frechet": 30.5, "kid": 0.25, "n_reference": 6}
    scored = {"frechet": 12.0, "n_generated": 8, "n_reference": 10, "held_out": unseen}
    text = describe(tmp_path, "adain", scored)
    for row in (
        "| Fréchet distance to the paintings | 12 |",
        "| Fréchet distance to the held-out paintings | 30.5 |",
        "| kernel distance to the held-out paintings | 0.25 |",
    ):
        assert row in text
    assert "8 pictures against 10 paintings and 6 held-out ones" in text


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert describe(tmp_path, "adain", {}).splitlines() == [
        "**adain**",
        "",
        "Reproduce: `dvc repro evaluate@adain compare`. Grid and weights are in the artifacts.",
    ]


def test_a_system_that_is_gone_is_named(tmp_path: Path) -> None:
    assert headline("gone") == "gone"
    assert headline(None) == ""


@pytest.mark.parametrize("text", TEXTS)
def test_a_card_brings_in_nothing_from_elsewhere(tmp_path: Path, text: str) -> None:
    project(tmp_path, "adain")
    path = tmp_path / "results/models/adain/card.json"
    block = {"class": text, "steps": 3}
    named = dict.fromkeys(("kind", "loss_features", "loss_features_hash", "features"), text)
    before = {"data": text, "steps": 5}
    card = {**read_json(path), **named, "parameters": block, "pretrained": before}
    for more in ({}, {"sha256": "0", "data": text, "steps": 5}):
        write_json(path, {**card, **more})
        scores = {"features": text, "features_hash": text, "n_generated": text, "frechet": 1.0}
        shown = describe(tmp_path, "adain", scores)
        assert brought_in(shown) == []
        assert "Reproduce: `dvc repro" in shown
    assert brought_in(describe(tmp_path, text.replace("/", ""), {}, path.parent)) == []
