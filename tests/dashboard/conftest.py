"""What every test of the dashboard is guarded against."""

from __future__ import annotations

import pytest

from parts import mistakes


@pytest.fixture(autouse=True)
def unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the settings takes seconds: only tests of it start one."""
    if "checked" not in request.fixturenames:
        monkeypatch.setattr(mistakes.Check, "run", lambda _: None)


@pytest.fixture
def checked() -> None:
    """Let the check of the settings run."""
