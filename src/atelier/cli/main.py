"""``atelier``: the command line; each command is a few lines over a function of the package.

Heavy imports are deferred so that ``atelier --help`` is instant.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from atelier.cli import apply, data, distance, settings, study, votes, zoo
from atelier.cli.options import RayAddress
from atelier.core import allocator
from atelier.core.config import Params, UserError, project_root
from atelier.core.console import use_plain_characters
from atelier.core.files import disk_reason
from atelier.core.logs import show_logs
from atelier.core.process import die_with_parent, interrupt_on_sigterm
from atelier.reports import protocol
from atelier.tracking.ui import PORT

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
weights_app = typer.Typer(no_args_is_help=True, help="Provide weights of perceptual networks.")
app.add_typer(data.app, name="data")
app.add_typer(weights_app, name="weights")
app.add_typer(zoo.app, name="zoo")
for command in (
    *settings.COMMANDS,
    *apply.COMMANDS,
    distance.distance,
    *votes.COMMANDS,
    data.sample,
    study.study,
):
    app.command()(command)


@app.callback()
def _atelier() -> None:
    """A reproducible bench for image style transfer."""
    show_logs()


@app.command()
def table(
    sort: Annotated[
        str | None, typer.Option(help="Column to sort by (best first); default: compare.sort.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="text, markdown, latex (booktabs) or csv.")
    ] = "text",
    against: Annotated[
        str | None,
        typer.Option(help="A row: each other's paired difference to it, and which is better."),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Every seed of an entry in a row of its own.")
    ] = False,
) -> None:
    """Print the comparison as it stands; a method that failed says why.

    Several seeds of an entry are one row, except with --each, --against and as csv.
    """
    from atelier.metrics.catalogue import HEADLINE  # noqa: PLC0415
    from atelier.reports import leaderboard, paired, tables  # noqa: PLC0415
    from atelier.reports.repeats import pooled  # noqa: PLC0415

    writer = next((write for name, write in tables.WRITERS.items() if name == form), None)
    if writer is None:
        raise UserError(f"--format {form}: is none of {', '.join(tables.WRITERS)}")
    root, params = project_root(), Params.load()
    frame, more = leaderboard.comparison(root, params, sort), None
    if against:
        key = sort or HEADLINE
        more = paired.columns(paired.compared(root, frame, against, key), against, key)
    elif not each and form != "csv":
        frame = pooled(frame, params, sort)
    typer.echo(writer(frame, protocol.setting(root, params), more))


@app.command()
def report(
    out: Annotated[Path, typer.Option("-o", "--out", help="The file.")] = Path("report.html"),
) -> None:
    """Write the comparison as one HTML file: protocol, table, plot, pictures, curves, commands."""
    from atelier.reports.document import write_report  # noqa: PLC0415

    write_report(project_root(), Params.load(), out)
    typer.echo(f"wrote {out}; print it as PDF from the browser")


@app.command()
def doctor() -> None:
    """Show what is installed, which device and networks are available, and what a run will use."""
    from atelier.cli.doctor import examine  # noqa: PLC0415
    from atelier.engine.validate import check  # noqa: PLC0415
    from atelier.reports.tables import aligned  # noqa: PLC0415

    root = project_root()
    try:
        params = Params.load(root / "params.yaml")
    except UserError:
        check(root / "params.yaml")  # names what is wrong in the blocks, too
        raise
    lines = list(examine(root, params))
    typer.echo(aligned(["what", "state", "found"], [list(line) for line in lines]))
    if any(line.state == "wrong" for line in lines):
        raise UserError("fix what is marked `wrong` first")


@app.command()
def mend(
    cache: Annotated[
        bool, typer.Option("--cache", help="Also remove damaged files from DVC's cache; slow.")
    ] = False,
) -> None:
    """Repair what a killed run left behind: DVC's lock file, data that were being replaced."""
    from atelier.cli import mend  # noqa: PLC0415

    root = project_root()
    for line in mend.mend(root):
        typer.echo(line, err=True)
    if cache:
        removed = 0
        for removed, line in enumerate(mend.mend_cache(root), 1):  # noqa: B007 - the last one counts
            typer.echo(line, err=True)
        typer.echo(f"{removed} damaged files removed; continue with `dvc checkout` and `dvc repro`")


@app.command()
def verify() -> None:
    """Compare the results with those of the last commit: which differ, by how much.

    Exit code 1 if any does.
    """
    from atelier.cli.verify import verify  # noqa: PLC0415

    differing = 0
    for differing, line in enumerate(verify(project_root()), 1):  # noqa: B007 - the last counts
        typer.echo(line)
    if differing:
        raise typer.Exit(1)
    typer.echo("every tracked output is what the last commit records")


@app.command()
def register() -> None:
    """Write scores to the runs in MLflow and register trained methods; `dvc repro` does it too."""
    from atelier.serving.registry import publish  # noqa: PLC0415

    for line in publish(project_root(), Params.load(), strict=True):
        typer.echo(line)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine.")] = PORT,
) -> None:
    """Serve MLflow's pages of the runs, on this machine alone; Ctrl-C ends it."""
    from atelier.tracking.ui import announce, serve  # noqa: PLC0415

    typer.echo(f"runs: {announce(port)}/#/experiments/1/runs?workflowType=machine_learning")
    serve(port)


@app.command("fan-out")
def fan_out(
    methods: Annotated[
        list[str] | None, typer.Argument(help="Default: all of params.yaml.")
    ] = None,
    lanes: Annotated[
        int | None, typer.Option(min=1, help="Methods in parallel; default: one per GPU.")
    ] = None,
    ray: RayAddress = None,
) -> None:
    """Train, apply and score several methods side by side, on this machine or on a Ray cluster.

    On this machine, `dvc repro` compares them afterwards; with --ray, they are compared, too.
    """
    from atelier.cli.mend import mend  # noqa: PLC0415

    interrupt_on_sigterm()
    if os.environ.get("MAKELEVEL"):  # make's shell does not pass a signal on
        die_with_parent()
    for line in mend(project_root()):
        typer.echo(line, err=True)
    root, params = project_root(), Params.load()
    names = methods or params.method_names
    for name in names:
        params.method(name)
    if ray:
        if lanes:
            raise UserError("--lanes is for this machine; Ray starts what a cluster has room for")
        from atelier.cli.fan_out_cluster import fan_out_on_cluster  # noqa: PLC0415

        failed = fan_out_on_cluster(ray, names, params, root)
    else:
        from atelier.cli import fan_out  # noqa: PLC0415 - imports torch

        queue = fan_out.dearest_first(params, names)
        run = fan_out.FanOut(queue, fan_out.lanes(lanes, params.devices // params.nodes), root)
        for number, line in enumerate(run.run(), 1):
            typer.echo(f"[{number}/{len(names)}] {line}")
        failed = run.failed
    if failed:
        raise UserError(f"{len(failed)} of {len(names)} failed: {', '.join(failed)}")


@weights_app.command("convert")
def weights_convert(
    source: Annotated[Path, typer.Argument(help="A state dict (.pth, .safetensors), 8-bit or not")],
    out: Annotated[Path, typer.Option(help="Folder for ATELIER_WEIGHTS.")] = Path("weights"),
    name: Annotated[str | None, typer.Option(help="Network; default: from the file name.")] = None,
) -> None:
    """Convert a network's weights to the file that ATELIER_WEIGHTS expects."""
    from atelier.nn.pretrained.features import require_fit  # noqa: PLC0415
    from atelier.nn.pretrained.weights import convert  # noqa: PLC0415

    written = convert(source, out, name, require_fit)
    typer.echo(f"wrote {written}; now: export ATELIER_WEIGHTS={out.resolve()}")


def main() -> None:
    """Run the command line: one line per error; exit codes 1 error, 2 usage, 130 Ctrl-C."""
    use_plain_characters()
    allocator.keep_memory()
    try:
        app()
    except (UserError, OSError) as error:
        typer.echo(f"error: {disk_reason(error) or error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
