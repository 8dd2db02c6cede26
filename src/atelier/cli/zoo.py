"""``atelier zoo``: the trained weights that ship. Heavy imports are deferred."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atelier.core.config import Params, UserError, project_root
from atelier.core.files import read_json
from atelier.core.paths import CARD, Results
from atelier.core.zoo_files import TRACKED, ZOO, folders, how_to_get

app = typer.Typer(help="Trained weights that ship: list, verify, add.", no_args_is_help=False)
Name = Annotated[str, typer.Argument(help="Entry, named like the method.")]


@app.callback(invoke_without_command=True)
def entries(context: typer.Context) -> None:
    """Trained weights that ship; without a command, list them."""
    if context.invoked_subcommand:
        return
    from atelier.reports.tables import aligned  # noqa: PLC0415
    from atelier.serving import zoo  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415

    found = list(zoo.entries(here()[0]))
    rows = [zoo.row(entry) for entry in found if not isinstance(entry, str)]
    if rows:
        typer.echo(aligned(zoo.HEAD, rows, set(zoo.HEAD[2:7])))
    for problem in (entry for entry in found if isinstance(entry, str)):
        typer.echo(problem, err=True)
    if not rows:
        raise UserError(how_to_get(here()[0]) or "the zoo is empty; `atelier zoo add` adds to it")


@app.command()
def show(name: Name) -> None:
    """Print an entry's card."""
    import json  # noqa: PLC0415

    from atelier.serving import zoo  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415

    entry = zoo.known(name, here()[0])
    typer.echo(json.dumps(read_json(entry.folder / CARD), indent=2, ensure_ascii=False))


@app.command()
def check(
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Also build and apply every system; some seconds each.")
    ] = False,
) -> None:
    """Verify hashes and sizes of all entries."""
    from atelier.serving import zoo  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415

    root, wrong, count = here()[0], 0, 0
    for name, problem in zoo.check(root, apply=apply):
        typer.echo(f"{name}: {problem or 'ok'}", err=bool(problem))
        wrong, count = wrong + bool(problem), count + 1
    if wrong:
        raise UserError(f"{wrong} of {count} are invalid")
    if not count:
        raise UserError(how_to_get(root) or "the zoo is empty")
    held = sum(zoo.size(folder) for folder in folders(root)) / 1e6
    typer.echo(f"{count} entries, {held:.1f} of {zoo.ALL_BYTES / 1e6:.0f} MB")


@app.command()
def add(
    name: Name,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Weights and card; default: this project's training."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Description of the training data; default: its card's.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights; default: its card's, else MIT.")
    ] = None,
) -> None:
    """Add a finished training as an entry: weights in float16, card, scores."""
    from atelier.serving import zoo  # noqa: PLC0415

    root, told = project_root(), {"data": data, "licence": licence}
    given = {key: value for key, value in told.items() if value}
    folder = source or Results(root).model(name).folder
    entry = zoo.Addition(name, folder, given).add(root, Params.load())
    typer.echo(f"{entry.folder}: {zoo.size(entry.folder) / 1e6:.1f} MB")
    typer.echo(f"Next: dvc add {ZOO} && dvc push {TRACKED} && git add {TRACKED} .sample")
