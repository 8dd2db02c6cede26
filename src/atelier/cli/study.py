"""``atelier study``: the reports' studies, one command each."""

from __future__ import annotations

from typing import Annotated

import typer

from atelier.core.config import Params, project_root
from atelier.core.process import interrupt_on_sigterm


def study(
    names: Annotated[list[str] | None, typer.Argument(help="Default: list the studies.")] = None,
    scale: Annotated[
        str | None, typer.Option(help="A scale of params.yaml; default: the one in force.")
    ] = None,
) -> None:
    """Run a study of the reports: train what it needs, and write its figure and its table.

    It works in a project of its own, results/studies/SCALE; no other result changes. Ctrl-C stops
    it, the same command resumes it, and what is done is not done again.

    atelier study overfitting --scale smoke
    """
    from atelier.studies.catalogue import STUDIES, is_done, run  # noqa: PLC0415

    root, params = project_root(), Params.load()
    params = params.at(scale) if scale else params
    interrupt_on_sigterm()
    for name in names or ():
        for path in run(name, root, params):
            typer.echo(f"wrote {path.relative_to(root)}")
    if not names:
        from atelier.reports.tables import aligned  # noqa: PLC0415

        rows = [
            [name, str(one.report), "done" if is_done(name, root, params.scale) else "-", one.title]
            for name, one in STUDIES.items()
        ]
        typer.echo(aligned(["study", "report", params.scale, "what"], rows))
