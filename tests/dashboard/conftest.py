"""What every test of the dashboard is guarded against."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner

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


@pytest.fixture(autouse=True, scope="session")
def _components_looked_for_once() -> Iterator[None]:
    """Streamlit reads the metadata of all packages for each AppTest: most of its time."""
    once = cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", once)
        yield


@pytest.fixture(autouse=True)
def unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the settings takes seconds: only tests of it start one."""
    if "checked" not in request.fixturenames:
        monkeypatch.setattr(mistakes.Check, "run", lambda _: None)


@pytest.fixture
def checked() -> None:
    """Let the check of the settings run."""
