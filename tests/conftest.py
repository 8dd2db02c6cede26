"""What every test is guarded against."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _same_main() -> Iterator[None]:
    """AppTest leaves the dashboard as ``__main__``, which a later test's workers would then run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
