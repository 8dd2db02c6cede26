"""``atelier data use | fetch | check`` and ``sample``: the pictures of a project.

Heavy imports are deferred so that ``atelier --help`` is instant.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from atelier.core.config import UserError, project_root

app = typer.Typer(no_args_is_help=True, help="Use your own pictures, or download the public ones.")
Force = Annotated[bool, typer.Option("--force", help="Delete data that DVC does not have.")]


def sample(
    out: Annotated[Path, typer.Option(help="Folder to write; must be missing or empty.")] = Path(
        "data"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the pictures.")] = 2026,
) -> None:
    """Render the small sample data set: pictures drawn by formula, and a few real photographs."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is not an empty folder; move it away, or choose another --out")
    from atelier.core.layout import counts, splits  # noqa: PLC0415
    from atelier.datasets.synthetic import copy_photographs, render_sample  # noqa: PLC0415

    render_sample(out, seed=seed)
    copy_photographs(out)
    _tell(counts(splits(out)), f"in {out}")


@app.command()
def use(
    path: Annotated[Path, typer.Argument(help="Folder with photos/train, photos/test, paintings")],
    force: Force = False,
) -> None:
    """Make a folder of pictures the project's data (a copy; the folder is unchanged)."""
    from atelier.datasets import importer  # noqa: PLC0415

    root = project_root()
    sizes = importer.adopt(path, root, force=force)
    for left in importer.unusable(path):
        typer.echo(f"note: {left}: left out, not a regular file", err=True)
    _name_left_out(path)
    _tell(sizes, f"in {root / 'data'}, tracked by data.dvc")
    typer.echo("Next: dvc repro")


@app.command()
def fetch(
    url: Annotated[str | None, typer.Option(help="Archive with trainA, trainB and testB.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Expected hash, if you know it.")] = None,
    force: Force = False,
) -> None:
    """Download the public paintings and photographs and make them the project's data."""
    from atelier.datasets import download as fetching  # noqa: PLC0415
    from atelier.datasets import importer  # noqa: PLC0415

    root = project_root()
    importer.check_replaceable(root, force=force)
    folder = root / ".checkpoints" / "fetch" / "data"
    busy = f"{folder}: another `atelier data fetch` is at work; wait for it"
    with importer.locked(folder.with_name("lock"), busy):
        shutil.rmtree(folder, ignore_errors=True)  # unpacked by a run that did not finish
        source = fetching.fetch(url or fetching.URL, folder, sha256=sha256)
        typer.echo(f"{source['bytes'] / 2**20:.1f} MiB, sha256 {source['sha256']}")
        try:
            use(folder, force)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="Default: the project's data.")] = None,
) -> None:
    """Count the pictures of every split and name those that cannot be read."""
    from atelier.core.layout import counts, splits  # noqa: PLC0415
    from atelier.datasets.parallel import parallel  # noqa: PLC0415

    folder = path or project_root() / "data"
    found = splits(folder)
    paths = [picture for pictures in found.values() for picture in pictures]
    broken = [reason for reason in parallel(problem, paths, "check") if reason]
    _name_left_out(folder)
    _tell(counts(found), f"in {folder}")
    if broken:
        raise UserError("\n".join([f"{len(broken)} of {len(paths)} cannot be read", *broken]))


def problem(path: Path) -> str | None:
    """Return why a picture cannot be read, or None."""
    from atelier.core import images  # noqa: PLC0415

    try:
        images.read(path)
    except images.ImageError as error:
        return str(error)
    return None


def _name_left_out(folder: Path) -> None:
    from atelier.core.layout import left_out  # noqa: PLC0415

    for line in left_out(folder):
        typer.echo(f"note: {line}", err=True)


def _tell(sizes: dict[str, int], where: str) -> None:
    found = ", ".join(f"{count} {split}" for split, count in sizes.items())
    typer.echo(f"{found} {where}")
