"""Workers of a cluster for a stage: none unless the settings ask for them; what they left out."""

from __future__ import annotations

import pytest

from atelier.core import workers
from atelier.core.config import Params, UserError
from atelier.core.workers import ON_ONE_NODE, refuse_gaps, workers_of


def test_a_stage_works_alone_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONNECTION", "none")  # found by name, where they are asked for
    with workers_of(Params({})) as found:
        assert found is None
    asked = Params({"cluster_workers": 2})
    with pytest.raises(ModuleNotFoundError), workers_of(asked):
        pass
    monkeypatch.setenv(ON_ONE_NODE, "1")
    with workers_of(asked) as found:
        assert found is None


def test_parts_that_are_missing_are_an_error_that_names_each_reason_once() -> None:
    refuse_gaps(iter(["", ""]), 2)
    with pytest.raises(UserError) as failed:
        refuse_gaps(iter(["", "a.png: is not a picture", "", "full", "full"]), 5)
    assert str(failed.value).splitlines() == [
        "a.png: is not a picture",
        "full",
        "3 of 5 parts are missing; the others are kept",
    ]
