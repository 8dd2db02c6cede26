"""Purposes of settings: their declaration at the fields, and those of every method."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError

from atelier.core.purpose import (
    FORMER,
    ApplySetting,
    FreeTrainSetting,
    RunSetting,
    free_settings,
    of_today,
    purposes,
    split,
)
from atelier.core.settings import Settings
from atelier.methods.optimisation import OptimisationSettings
from atelier.methods.trained import TrainSettings
from support.contract import CLASSES


class Some(Settings):
    steps: int = 3
    strength: ApplySetting[float] = Field(1.0, ge=0, le=1)
    side: ApplySetting[int | None] = None
    workers: RunSetting[int] = Field(0, ge=0)


class Heir(Some):
    width: int = 4
    matching: FreeTrainSetting[str] = "adain"


def test_a_setting_without_a_mark_is_for_the_training() -> None:
    assert purposes(Heir) == {
        "steps": "train",
        "strength": "apply",
        "side": "apply",
        "workers": "run",
        "width": "train",
        "matching": "train",
    }


def test_weights_fit_whatever_they_are_applied_with() -> None:
    assert free_settings(Heir) == {"strength", "side", "matching"}


def test_a_mark_changes_neither_type_nor_limits() -> None:
    assert Some(strength=0.5).strength == 0.5
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Some(strength=2.0)


def test_a_block_falls_into_three_parts() -> None:
    block: dict[str, Any] = {"class": "some", "workers": 2, "steps": 1, "side": None}
    assert split(Some, block) == {
        "train": {"class": "some", "steps": 1},
        "apply": {"side": None},
        "run": {"workers": 2},
    }


APPLY = {
    *("strength", "preserve_colour", "tile", "stylize_batch", "adapt_steps", "adapt_lr"),
    "apply_precision",
}
RUN = {"workers", "save_minutes", "snapshots", "log_every"}


@pytest.mark.parametrize("name", CLASSES)
def test_the_settings_that_train_no_method_are_known_by_name(name: str) -> None:
    """A list of its own, so that a mark set by mistake, which shows stale weights, is noticed."""
    settings = CLASSES[name].Settings
    found = purposes(settings)
    assert {key for key, purpose in found.items() if purpose == "apply"} == APPLY & set(found)
    assert {key for key, purpose in found.items() if purpose == "run"} == RUN & set(found)
    assert free_settings(settings) == (APPLY | {"matching"}) & set(found)
    assert issubclass(settings, TrainSettings) == bool((RUN - {"snapshots"}) & set(found))
    on_the_way = issubclass(settings, TrainSettings | OptimisationSettings)
    assert on_the_way == ("snapshots" in found)


def test_cards_of_earlier_trainings_can_be_built() -> None:
    card = {"class": "cut", "steps": 3, "save_every": 100}
    assert of_today(card) == {"class": "cut", "steps": 3}
    known = {key for found in CLASSES.values() for key in found.Settings.model_fields}
    assert not FORMER & known
