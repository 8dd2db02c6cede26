"""Fixtures of the tests of the methods."""

from __future__ import annotations

import pytest

from atelier.nn.pretrained import features
from support.nets import answer_with, vgg_state


@pytest.fixture
def seeded_vgg19(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded weights under the name of the published ones."""
    monkeypatch.setattr(features, "resolve", answer_with(vgg_state("vgg19")))
