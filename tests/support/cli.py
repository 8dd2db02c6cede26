"""The command line, run in this process."""

from __future__ import annotations

import pytest

from atelier.cli import main


def atelier(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line as a shell would; its exit code."""
    monkeypatch.setattr("sys.argv", ["atelier", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)
