"""Options and messages that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

RayAddress = Annotated[
    str | None, typer.Option(help="A Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="With --ray; default: one per GPU or core.")
]


def warn(line: str) -> None:
    """Print why a picture is left out, to stderr."""
    typer.echo(f"skipped: {line}", err=True)
