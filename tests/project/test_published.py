"""Scale ``full`` trains as papers and their authors' code tell, whatever the classes' defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atelier.core.config import Params
from atelier.core.extends import class_settings
from atelier.methods.base import system_of

FULL = Params.load(Path(__file__).parents[2] / "params.yaml").at("full")
LOADER = {"flip": False, "enlarge": False}  # resize, random crop


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("adain", {**LOADER, "style_weight": 10.0, "identity_weight": None}),
        ("efdm", {**LOADER, "style_weight": 10.0, "identity_weight": None}),
        ("wct", {**LOADER, "content_weight": 1.0, "identity_weight": None}),
        ("sanet", {**LOADER, "content_weight": 1.0, "style_weight": 3.0, "identity_weight": 50.0}),
        (
            "stytr2",
            {**LOADER, "content_weight": 7.0, "style_weight": 10.0, "identity_weight": 70.0},
        ),
    ],
)
def test_systems_for_any_painting(name: str, published: dict[str, Any]) -> None:
    block = FULL.method(name)
    settings = system_of(block, name).Settings.build(class_settings(block), name).model_dump()
    assert {key: settings[key] for key in published} == published
