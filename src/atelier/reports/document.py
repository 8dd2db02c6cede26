"""The comparison as one self-contained HTML file: nothing in it is fetched from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from atelier.core import images
from atelier.core.baselines import MADE
from atelier.core.config import Params, UserError
from atelier.core.files import atomic
from atelier.reports import leaderboard, outputs, parameters, protocol, tables
from atelier.reports.comparison import GRID_ROWS
from atelier.reports.curves import curves, on_log_axis
from atelier.reports.plots import pareto
from atelier.reports.repeats import pooled
from atelier.tracking.provenance import git_tags

SIDE = 224
"""Longer side of a picture, in pixels; twice what a phone shows three abreast."""
CURVE_INCHES, CURVE_DPI = (4.4, 2.8), 100


@dataclass(frozen=True)
class Shown:
    """A picture with what stands below it."""

    caption: str
    source: str
    """Data address; "" for a picture that is missing."""


def write_report(root: Path, params: Params, out: Path) -> None:
    """Write protocol, table, plot, pictures, curves and commands into ``out``, atomically.

    Raises:
        UserError: nothing has been scored yet, or the file cannot be written.
    """
    frame = leaderboard.comparison(root, params)
    if not (frame["status"] == "ok").any():
        raise UserError(f"{root}: no method has been scored yet; run dvc repro")
    table = pooled(frame, params)
    cells = tables.shown(table)
    setting = protocol.setting(root, params)
    names = [n for n in frame.loc[frame["status"] == "ok", "method"] if n in params.method_names]
    text = _template().render(
        heads=list(cells.columns),
        left=tables.LEFT,
        rows=cells.to_numpy().tolist(),
        notes=[line for line in tables.protocol(table, setting) if line],
        protocol=protocol.protocol(root, params, names[0]) if names else {},
        failures=_failures(frame.to_dict("records")),
        plot=address(pareto(frame), "PNG"),
        grid=dict(_pictures(root, names)),
        curves=list(_curves(root, names)),
        commands={name: parameters.command(root, params, name) for name in names},
        scale=params.scale,
        **_source(root),
    )
    with atomic(out) as part:
        part.write_text(text, encoding="utf-8")


def _template() -> Any:
    loader = PackageLoader("atelier.reports", ".")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("document.html")  # fmt: skip


def _source(root: Path) -> dict[str, str]:
    git = git_tags()
    return {
        "commit": git.get("git.commit", ""),
        "dirty": git.get("git.dirty", ""),
        "data": outputs.digest(root) or "",
    }


def _failures(rows: list[dict[Any, Any]]) -> list[str]:
    return [
        f"{leaderboard.label(row['method'])}: {' '.join(row['error'].split())}"
        for row in rows
        if row["error"]
    ]


def _pictures(root: Path, names: list[str]) -> Iterator[tuple[str, list[Shown]]]:
    """Photograph → content, style, colour transfer, and every method's picture."""
    for photo in outputs.test_photos(root)[:GRID_ROWS]:
        painting = outputs.painting_for(root, photo.stem)
        files: dict[str, Path | None] = {"content": photo, "style": painting}
        made = {key: outputs.baseline(root, key, photo) for key in MADE[:1]}
        files |= {leaderboard.label(key): path for key, path in made.items() if path}
        files |= {name: outputs.stylised(root, name, photo.stem) for name in names}
        yield photo.stem, [Shown(caption, _small(path)) for caption, path in files.items()]


def _small(path: Path | None) -> str:
    """A copy as a data address; "" for a missing or broken picture, which the page shows."""
    try:
        picture = images.read(path) if path else None
    except images.ImageError:
        return ""
    if picture is None:
        return ""
    if max(picture.size) > SIDE:
        picture = images.resize(picture, SIDE, "fit")
    return address(picture, "WEBP")


def address(picture: Image.Image, kind: str) -> str:
    """Return a picture as a data address, as ``PNG`` or ``WEBP``."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 85} if kind == "WEBP" else {}))
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{text}"


def _curves(root: Path, names: list[str]) -> Iterator[Shown]:
    for name in names:
        for kind, frame in curves(root, name).items():
            figure = Figure(CURVE_INCHES, CURVE_DPI, layout="constrained")
            axes = figure.add_subplot()
            for loss, values in on_log_axis(frame).items():
                axes.plot(values.index, values, label=str(loss), lw=1)
            axes.set(xlabel="step", yscale="log")
            axes.legend(fontsize=7, ncols=2)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png")
            yield Shown(f"{name}, {kind}", address(Image.open(buffer).convert("RGB"), "WEBP"))
