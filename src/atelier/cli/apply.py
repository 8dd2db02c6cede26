"""``atelier methods | stylize | denoise | noise | export``: application of trained methods.

Heavy imports are deferred so that ``atelier --help`` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atelier.cli.options import RayAddress, Workers, warn
from atelier.core import zoo_files
from atelier.core.config import Params, UserError
from atelier.core.structure import Precision

if TYPE_CHECKING:
    from atelier.datasets.noise import Noise
    from atelier.serving.folders import StylizeOptions
    from atelier.serving.stylizer import Applied

Pictures = Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results, as PNG.")]
Strength = Annotated[
    float | None, typer.Option(min=0, max=1, help="0: the photograph, 1: the style.")
]
Direction = Annotated[
    Literal["to_art", "to_photo"] | None,
    typer.Option(help="Of systems trained in both, such as cyclegan: to_photo takes paintings."),
]
HeatMap = Annotated[
    bool,
    typer.Option("--heatmap", help="In place of the picture, where the network looks: of ugatit."),
]


TAKES = {
    "optimisation": "a painting; minutes per picture",
    "per_style": "photographs only",
    "arbitrary": "a painting, a strength",
    "unpaired": "photographs only",
    "diffusion": "a painting; minutes per picture without a GPU",
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
        status = (
            f"pretrained, {zoo_files.in_all(found.card, 'steps'):,} steps"
            if found.entry
            else "ready"
        )
        kind, block = found.kind, found.block
    elif params and name in params.method_names:
        block = params.method(name)
        status, kind = "no", system_of(block, f"methods.{name}").kind
    else:
        return [name, "-", "no", "-", "an entry of the zoo"]
    return [name, kind, status, TAKES[kind], headline(block["class"])]


def stylize(
    pictures: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders of pictures, or one video; with --ray, s3://… too."),
    ],
    method: Annotated[
        list[str], typer.Option("--method", "-m", help="Entry of `atelier methods`; repeatable.")
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for the results, as PNG; a video's file.")
    ],
    style: Annotated[
        list[str] | None,
        typer.Option("--style", "-s", help="The painting, or several as PATH:WEIGHT; repeatable."),
    ] = None,
    strength: Strength = None,
    direction: Direction = None,
    colour: Annotated[
        Literal["keep", "luminance", "coral", "histogram"] | None,
        typer.Option(
            help="keep: the method's. The photograph's: its chroma, by CORAL, by histogram."
        ),
    ] = None,
    stroke: Annotated[
        float | None,
        typer.Option(help="Size of the painting relative to the photograph: 2, larger strokes."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="A grey picture: black parts take the first --style, white the last."),
    ] = None,
    style_mask: Annotated[
        Path | None,
        typer.Option(
            help="The painting's mask, for strotss: a grey of --mask takes the same grey's style."
        ),
    ] = None,
    heatmap: HeatMap = False,
    strip: Annotated[
        bool,
        typer.Option(
            "--strip",
            help="Beside each result a sheet: strengths, mixtures of two paintings; the way back.",
        ),
    ] = False,
    max_side: Annotated[
        int | None, typer.Option(min=32, help="Shrink larger pictures to this many pixels first.")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Of the convolutions; auto: bfloat16 where it is fast.")
    ] = "auto",
    ray: RayAddress = None,
    workers: Workers = None,
) -> None:
    """Stylise your own pictures: any type, size and aspect; the results keep size and aspect.

    A video is stylised frame by frame into another one, with its sound.

    Works in any folder: methods not trained in the project there use the weights of the zoo.

    atelier stylize holiday/ -m cyclegan -o out

    atelier stylize dog.jpg -m adain -m adaattn --style night.jpg --strength 0.7 -o out

    atelier stylize dog.jpg -m adain -s night.jpg:0.7 -s roots.jpg:0.3 --colour luminance -o out

    atelier stylize dog.jpg -m adain -s night.jpg -s roots.jpg --mask dog-mask.png -o out

    atelier stylize dog.jpg -m strotss -s night.jpg --mask a.png --style-mask b.png -o out

    atelier stylize painting.jpg -m cyclegan --direction to_photo -o out

    atelier stylize dog.jpg -m ugatit --heatmap -o out

    atelier stylize dog.jpg -m adain -s night.jpg -s roots.jpg --strip -o out

    atelier stylize clip.mp4 -m cyclegan -o out.mp4

    atelier stylize s3://bucket/in -m cyclegan -o s3://bucket/out --ray auto
    """
    from atelier.core import images  # noqa: PLC0415
    from atelier.core.device import pick_device  # noqa: PLC0415
    from atelier.serving import folders, video  # noqa: PLC0415
    from atelier.serving.look import Look  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415
    from atelier.serving.stylizer import load_applied  # noqa: PLC0415

    names = list(dict.fromkeys(method))
    styles = [folders.weighed_path(text) for text in style or ()]
    own, painted = (None if path is None else images.read(path) for path in (mask, style_mask))
    look = Look(strength, direction, colour, stroke, own, painted, heatmap)
    options = folders.StylizeOptions(styles, look, max_side, strip)
    if ray:
        _refuse_strip(options, "with --ray")
        from atelier.cli.stylize_cluster import stylize_on_cluster  # noqa: PLC0415

        settings = (names, options, precision, workers)
        _end(stylize_on_cluster(ray, pictures, out, *settings, warn), out)
        return
    root, params = here()
    device = pick_device(params)
    loaded = [load_applied(root, params, name, device, precision) for name in names]
    for applied in loaded:
        _tell(applied)
    sources, target = [Path(picture) for picture in pictures], Path(out)
    if any(map(video.is_video, (*sources, target))):
        if len(sources) != 1 or len(loaded) != 1:
            raise UserError("a video is stylised by itself: give one video, one method, -o out.mp4")
        _refuse_strip(options, "of a video")
        for line in video.stylize_video(sources[0], target, loaded[0], options):
            typer.echo(line)
        return
    _end(folders.stylize_files(sources, target, loaded, options, warn), out)


def _refuse_strip(options: StylizeOptions, where: str) -> None:
    if options.strip:
        raise UserError(f"there are no strips {where}; leave --strip out")


def denoise(
    pictures: Pictures,
    out: Out,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps per picture.")] = None,
    strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fraction of the noise that is subtracted.")
    ] = None,
    show_pair: Annotated[
        bool,
        typer.Option(
            "--show-pair",
            help="Write a sheet beside each: the two halves it learns from, and what it removed.",
        ),
    ] = False,
) -> None:
    """Denoise pictures without a trained network (Zero-Shot Noise2Noise).

    Defaults are those of `denoise` in the project's params.yaml; outside a project, the paper's.
    """
    from atelier.core.device import pick_device  # noqa: PLC0415
    from atelier.methods.zsn2n import DenoiseSettings  # noqa: PLC0415
    from atelier.serving import folders  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415

    (_, params), asked = here(), {"steps": steps, "strength": strength}
    given = {key: value for key, value in asked.items() if value is not None}
    own = params.scaled("denoise") if params else {}
    block = {**own, **given, "batch": 1, "fill_batch": False}
    settings = DenoiseSettings.build(block, "denoise")
    device = pick_device(params)
    _end(
        folders.denoise_files(pictures, out, settings, device, warn, show_pair=show_pair),
        out,
    )


def noise(
    pictures: Pictures,
    out: Out,
    gaussian: Annotated[
        float | None,
        typer.Option(min=0, max=255, help="Standard deviation, in levels of 255."),
    ] = None,
    poisson: Annotated[
        float | None,
        typer.Option(min=0.01, help="Events at white; fewer is noisier."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other noise.")] = 0,
) -> None:
    """Add noise of a known strength to pictures, to try a denoiser on.

    atelier noise dog.jpg --gaussian 25 -o noisy

    atelier denoise noisy --show-pair -o clean
    """
    from atelier.serving import folders  # noqa: PLC0415

    asked: dict[Noise, float | None] = {"gaussian": gaussian, "poisson": poisson}
    given = [(kind, level) for kind, level in asked.items() if level is not None]
    if len(given) != 1:
        raise UserError("say one of --gaussian and --poisson")
    _end(folders.add_noise_to_files(pictures, out, given[0], warn, seed), out)


def export(
    method: Annotated[str, typer.Argument(help="Entry of `atelier methods`.")],
    onnx: Annotated[Path, typer.Option(help="File to write, such as cyclegan.onnx.")],
    strength: Strength = None,
    direction: Direction = None,
    heatmap: HeatMap = False,
) -> None:
    """Export a trained feed-forward method to ONNX, and compare it with torch at two sizes.

    Strength, direction and heat map are those of `atelier stylize`, built into the file.
    """
    from atelier.serving.look import Look  # noqa: PLC0415
    from atelier.serving.onnx import export_onnx  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415
    from atelier.serving.stylizer import load_applied  # noqa: PLC0415

    applied = load_applied(*here(), method)
    _tell(applied)
    for line in export_onnx(applied, onnx, Look(strength, direction, heatmap=heatmap)):
        typer.echo(line)


def _tell(applied: Applied) -> None:
    """Print which weights a method uses, and how it differs from params.yaml."""
    if applied.used:
        typer.echo(f"note: {applied.name}: {applied.used}", err=True)
    if applied.note:
        typer.echo(f"note: {applied.note}", err=True)


def _end(failed: int, out: Path | str) -> None:
    if failed:
        raise UserError(f"{failed} failed (see above); the rest are in {out}")
    typer.echo(f"the results are in {out}")


COMMANDS = (methods, stylize, denoise, noise, export)
"""Commands, in the order of `--help`."""
