"""``atelier``: the commands a user types; each is a few lines over a function of the package."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from atelier import adopt, fanout, fetch, images, leaderboard
from atelier.config import Params, UserError, project_root
from atelier.data import counts, splits
from atelier.nn.weights import convert
from atelier.parallel import parallel

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
data_app = typer.Typer(no_args_is_help=True, help="Bring your own pictures, or the public ones.")
weights_app = typer.Typer(no_args_is_help=True, help="Bring the perceptual networks' weights.")
app.add_typer(data_app, name="data")
app.add_typer(weights_app, name="weights")

Force = Annotated[bool, typer.Option("--force", help="Delete data that DVC does not have.")]


@app.callback()
def _atelier() -> None:
    """A reproducible bench for image style transfer."""


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write; must be missing or empty.")] = Path(
        "data"
    ),
    seed: Annotated[int, typer.Option(help="Another seed gives other pictures.")] = 2026,
) -> None:
    """Render the small sample data set: landscapes and paintings drawn by formula."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is not an empty folder; move it away, or choose another --out")
    # Imported here, because no other command needs the renderer.
    from atelier.sample import render_sample  # noqa: PLC0415

    render_sample(out, seed=seed)
    _tell(counts(splits(out)), f"in {out}")


@app.command()
def table() -> None:
    """Print the comparison as it stands; a method that failed says why."""
    typer.echo(leaderboard.to_text(leaderboard.comparison(project_root(), Params.load())))


@app.command("fan-out")
def fan_out(
    methods: Annotated[
        list[str] | None, typer.Argument(help="Default: all of params.yaml.")
    ] = None,
    lanes: Annotated[
        int | None, typer.Option(min=1, help="Methods at once; default: the GPUs.")
    ] = None,
) -> None:
    """Train, apply and score several methods side by side; `dvc repro` compares them afterwards."""
    root, params = project_root(), Params.load()
    names = methods or params.method_names
    for name in names:
        params.method(name)
    places = fanout.lanes(lanes, params.devices)
    run = fanout.FanOut(names, places, root)
    for number, line in enumerate(run.run(), 1):
        typer.echo(f"[{number}/{len(names)}] {line}")
    if run.failed:
        raise UserError(f"{len(run.failed)} of {len(names)} failed: {', '.join(run.failed)}")


@weights_app.command("convert")
def weights_convert(
    source: Annotated[Path, typer.Argument(help="A state dict (.pth, .safetensors), 8-bit or not")],
    out: Annotated[Path, typer.Option(help="Folder for ATELIER_WEIGHTS.")] = Path("weights"),
    name: Annotated[str | None, typer.Option(help="Network; default: from the file name.")] = None,
) -> None:
    """Write a network's weights as the file that ATELIER_WEIGHTS looks for."""
    typer.echo(f"wrote {convert(source, out, name)}; now: export ATELIER_WEIGHTS={out.resolve()}")


@data_app.command("use")
def data_use(
    path: Annotated[Path, typer.Argument(help="Folder with photos/train, photos/test, paintings")],
    force: Force = False,
) -> None:
    """Make a folder of pictures the project's data (a copy; the folder stays as it is)."""
    root = project_root()
    _tell(adopt.adopt(path, root, force=force), f"in {root / 'data'}, tracked by data.dvc")
    typer.echo("Next: dvc repro")


@data_app.command("fetch")
def data_fetch(
    url: Annotated[str, typer.Option(help="Archive with trainA, trainB and testB.")] = fetch.URL,
    sha256: Annotated[str | None, typer.Option(help="Expected hash, if you know it.")] = None,
    force: Force = False,
) -> None:
    """Download the public paintings and photographs and make them the project's data."""
    root = project_root()
    adopt.check_replaceable(root, force=force)
    folder = root / ".checkpoints" / "fetch" / "data"
    shutil.rmtree(folder, ignore_errors=True)  # unpacked by a run that did not finish
    source = fetch.fetch(url, folder, sha256=sha256)
    typer.echo(f"{source['bytes'] / 2**20:.1f} MiB, sha256 {source['sha256']}")
    try:
        data_use(folder, force)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@data_app.command("check")
def data_check(
    path: Annotated[Path | None, typer.Argument(help="Default: the project's data.")] = None,
) -> None:
    """Count the pictures of every split and name those that cannot be read."""
    folder = path or project_root() / "data"
    found = splits(folder)
    paths = [picture for pictures in found.values() for picture in pictures]
    broken = [reason for reason in parallel(_problem, paths, "check") if reason]
    _tell(counts(found), f"in {folder}")
    if broken:
        raise UserError("\n".join([f"{len(broken)} of {len(paths)} cannot be read", *broken]))


def _problem(path: Path) -> str | None:
    try:
        images.read(path)
    except images.ImageError as error:
        return str(error)
    return None


def _tell(sizes: dict[str, int], where: str) -> None:
    found = ", ".join(f"{count} {split}" for split, count in sizes.items())
    typer.echo(f"{found} {where}")


def main() -> None:
    """Run the command line: one line per error; exit codes 1 error, 2 usage, 130 Ctrl-C."""
    try:
        app()
    except (UserError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
