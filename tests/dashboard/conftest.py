"""What every test of the dashboard is guarded against."""

from __future__ import annotations

from pathlib import Path

import pytest

from parts import mistakes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave coverage out: it counts the package alone, and Streamlit runs half as fast with it.

    And what begins with `test_dashboard` runs whole pages.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("no_cover")
            if item.path.name.startswith("test_dashboard"):
                item.add_marker("slow")


@pytest.fixture(autouse=True)
def unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the settings takes seconds: only tests of it start one."""
    if "checked" not in request.fixturenames:
        monkeypatch.setattr(mistakes.Check, "run", lambda _: None)


@pytest.fixture
def checked() -> None:
    """Let the check of the settings run."""
