"""``atelier methods | stylize | denoise | export``: application of trained methods.

Heavy imports are deferred so that ``atelier --help`` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atelier.core import zoo_files
from atelier.core.config import Params, UserError

if TYPE_CHECKING:
    from atelier.serving.stylizer import Applied

Pictures = Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results, as PNG.")]


TAKES = {
    "optimisation": "a painting; minutes per picture",
    "per_style": "photographs only",
    "arbitrary": "a painting, a strength",
    "unpaired": "photographs only",
}


def methods() -> None:
    """List the methods of params.yaml and the zoo, and whether each can be applied now.

    ready: from your own training; pretrained: from the zoo.
    """
    from atelier.reports.tables import aligned  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415
    from atelier.serving.stylizer import applicable  # noqa: PLC0415

    root, params = here()
    reasons = applicable(root, params)
    rows = [_row(root, params, name, ready=not reason) for name, reason in reasons.items()]
    typer.echo(aligned(["method", "kind", "status", "takes", "system"], rows))
    for reason in filter(None, reasons.values()):
        typer.echo(reason)
    if not reasons:
        raise UserError(zoo_files.how_to_get(root) or "no project here, and the zoo is empty")


def _row(root: Path | None, params: Params | None, name: str, *, ready: bool) -> list[str]:
    """Return a row of ``methods``."""
    from atelier.methods.base import system_of  # noqa: PLC0415
    from atelier.serving.model_card import headline  # noqa: PLC0415
    from atelier.serving.saved_method import recipe  # noqa: PLC0415

    if ready:
        found = recipe(root, params, name)
        status = f"pretrained, {found.card['steps']:,} steps" if found.entry else "ready"
        kind, block = found.kind, found.block
    elif params and name in params.method_names:
        block = params.method(name)
        status, kind = "no", system_of(block, f"methods.{name}").kind
    else:
        return [name, "-", "no", "-", "an entry of the zoo"]
    return [name, kind, status, TAKES[kind], headline(block["class"])]


def stylize(
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures, folders of pictures, or one video.")
    ],
    method: Annotated[
        list[str], typer.Option("--method", "-m", help="Entry of `atelier methods`; repeatable.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results, as PNG; a video's file.")
    ],
    style: Annotated[
        Path | None, typer.Option("--style", "-s", help="The painting, for methods that take one.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="0: the photograph, 1: the style.")
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(min=32, help="Shrink larger pictures to this many pixels first.")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Of the convolutions; auto: bfloat16 where it is fast.")
    ] = "auto",
) -> None:
    """Stylise your own pictures: any type, size and aspect; the results keep size and aspect.

    A video is stylised frame by frame into another one, with its sound.

    Works in any folder: methods not trained in the project there use the weights of the zoo.

    atelier stylize holiday/ -m cyclegan -o out

    atelier stylize dog.jpg -m adain -m adaattn --style night.jpg --strength 0.7 -o out

    atelier stylize clip.mp4 -m cyclegan -o out.mp4
    """
    from atelier.core.device import pick_device  # noqa: PLC0415
    from atelier.serving import folders, video  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415
    from atelier.serving.stylizer import load_applied  # noqa: PLC0415

    root, params = here()
    device, names = pick_device(params), list(dict.fromkeys(method))
    loaded = [load_applied(root, params, name, device, precision) for name in names]
    for applied in loaded:
        _tell(applied)
    options = folders.StylizeOptions(style, strength, max_side)
    if any(map(video.is_video, (*pictures, out))):
        if len(pictures) != 1 or len(loaded) != 1:
            raise UserError("a video is stylised by itself: give one video, one method, -o out.mp4")
        for line in video.stylize_video(pictures[0], out, loaded[0], options):
            typer.echo(line)
        return
    _end(folders.stylize_files(pictures, out, loaded, options, _warn), out)


def denoise(
    pictures: Pictures,
    out: Out,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps per picture.")] = None,
    strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fraction of the noise that is subtracted.")
    ] = None,
) -> None:
    """Denoise pictures without a trained network (Zero-Shot Noise2Noise).

    Defaults are those of `denoise` in params.yaml.
    """
    from atelier.core.device import pick_device  # noqa: PLC0415
    from atelier.methods.zsn2n import DenoiseSettings  # noqa: PLC0415
    from atelier.serving import folders  # noqa: PLC0415

    params, asked = Params.load(), {"steps": steps, "strength": strength}
    given = {key: value for key, value in asked.items() if value is not None}
    block = {**params.scaled("denoise"), **given, "batch": 1, "fill_batch": False}
    settings = DenoiseSettings.build(block, "denoise")
    _end(folders.denoise_files(pictures, out, settings, pick_device(params), _warn), out)


def export(
    method: Annotated[str, typer.Argument(help="Entry of `atelier methods`.")],
    onnx: Annotated[Path, typer.Option(help="File to write, such as cyclegan.onnx.")],
) -> None:
    """Export a trained feed-forward method to ONNX, and compare it with torch at two sizes."""
    from atelier.serving.onnx import export_onnx  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415
    from atelier.serving.stylizer import load_applied  # noqa: PLC0415

    applied = load_applied(*here(), method)
    _tell(applied)
    for line in export_onnx(applied, onnx):
        typer.echo(line)


def _tell(applied: Applied) -> None:
    """Print which weights a method uses, and how it differs from params.yaml."""
    if applied.used:
        typer.echo(f"note: {applied.name}: {applied.used}", err=True)
    if applied.note:
        typer.echo(f"note: {applied.note}", err=True)


def _warn(line: str) -> None:
    typer.echo(f"skipped: {line}", err=True)


def _end(failed: int, out: Path) -> None:
    if failed:
        raise UserError(f"{failed} failed (see above); the rest are in {out}")
    typer.echo(f"the results are in {out}")


COMMANDS = (methods, stylize, denoise, export)
"""Commands, in the order of `--help`."""
