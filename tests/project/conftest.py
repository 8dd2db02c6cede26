"""Fixtures of the tests that run the DAG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import bench


@pytest.fixture(scope="module")
def warm(warm_programs: Path) -> Iterator[None]:
    """Let ``bench.run`` use processes that begin with the libraries imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "programs", warm_programs)
        yield
