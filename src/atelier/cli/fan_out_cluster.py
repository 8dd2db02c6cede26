"""Methods over the nodes of a Ray cluster, with a table of what runs where.

Unlike ``fan_out`` it imports no torch: the head itself computes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import typer

from atelier.cluster.ray_cluster import connected
from atelier.core.config import Params


def fan_out_on_cluster(address: str, names: Sequence[str], params: Params, root: Path) -> list[str]:
    """Run methods on a Ray cluster, show what runs where; return the methods that failed."""
    with connected(address, root):
        from atelier.cluster.head import RayFanOut  # noqa: PLC0415 - imports Ray, an extra

        run, live = RayFanOut(list(dict.fromkeys(names)), params, root), LiveTable()
        try:
            with closing(run.run()) as lines:  # Ctrl-C here, too, has to cancel what runs
                for line in lines:
                    live.show(line, run.table())
        finally:
            live.end(run.table())
        return run.failed


class LiveTable:
    """Lines, and below them a table that is redrawn; not on a terminal, once at the end."""

    def __init__(self) -> None:
        self.live, self.height = sys.stdout.isatty(), 0

    def show(self, line: str, table: str) -> None:
        """Print a line above the table; "" redraws the table alone."""
        self._clear()
        if line:
            typer.echo(line)
        if self.live:
            typer.echo(table)
            self.height = table.count("\n") + 1

    def end(self, table: str) -> None:
        """Print the table for the last time."""
        self._clear()
        typer.echo(table)

    def _clear(self) -> None:
        if self.height:
            typer.echo(f"\x1b[{self.height}A\x1b[J", nl=False)
        self.height = 0
