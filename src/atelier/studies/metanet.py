"""MetaNet, original and improved, on 500 and on 1,000 pictures: times, sizes, an 8 × 8 sheet.

Half of the sheet's paintings and photographs are of the training, the other half unseen. The plot
is the report's figure 5: the growth of the first 9×9 filter, whose numbers are in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from atelier.core import images
from atelier.core.config import UserError
from atelier.reports.curves import TRAINING, curves
from atelier.studies.bench import Bench
from atelier.studies.findings import Findings, plot, sheet, stacked
from atelier.studies.tables import scores_of, training_of

VARIANTS = ("metanet_original", "metanet_improved")
SIZES = (500, 1000)
SIDE = 8
"""Pictures along each side of the sheet."""
TENTHS = (2, 4, 6, 8, 10)
"""Of the training, after which the table shows the curve."""
FILTER = "first_weight"
"""Curve of the first filter's root mean square."""


def sizes(available: int) -> tuple[int, int]:
    """Return the report's two sizes, or half and all of fewer photographs."""
    return SIZES if available >= SIZES[1] else (max(1, available // 2), available)


def study(bench: Bench) -> Findings:
    """Train both variants on both sizes; compare what they cost and what they make."""
    photos, count = bench.training_photos, len(bench.training_paintings)
    unseen = min(SIDE // 2, count // 2)
    if not unseen:
        raise UserError(f"there is {count} painting; this study needs two or more")
    rows, grown, sheets = [], {}, []
    for base in VARIANTS:
        for size in sizes(len(photos)):
            styles = min(size, count - unseen)
            name, figures = _train(bench, base, size, styles)
            grown[name] = curves(bench.root, name)[TRAINING][FILTER]
            row = {**training_of(figures), **_row(bench, name, grown[name])}
            rows.append({"entry": base, **row})
        sheets.append(_sheet(bench, name, size, styles))
    growth = plot(lambda axes: _grow(axes, grown), "step", "RMS of the first filter")
    where = (
        "Left half of the columns and upper half of the rows: of the training; the rest: unseen."
    )
    notes = [
        f"The sheets show the larger size, original and improved. {where}",
        f"{FILTER}@n: root mean square of the first 9×9 filter after n tenths of the training.",
    ]
    return Findings(pd.DataFrame(rows), stacked(*sheets, growth), notes)


def _train(bench: Bench, base: str, size: int, styles: int) -> tuple[str, Mapping[str, Any]]:
    """Train for as many epochs as the entry has on its own photographs.

    Returns:
        The new entry's name, and the figures of its training.
    """
    own = bench.source.method(base).get("photos") or len(bench.training_photos)
    steps = max(1, round(bench.steps(base) * size / min(own, len(bench.training_photos))))
    changes = {"photos": size, "styles": styles, "steps": steps, "then": [], "log_every": 1}
    name = bench.entry(f"{base}_{size}", base, changes)
    return name, bench.train(name)


def _row(bench: Bench, name: str, grown: pd.Series[float]) -> dict[str, Any]:
    made = bench.pictures(name)
    growth = {f"{FILTER}@{t}": grown.iloc[max(0, len(grown) * t // 10 - 1)] for t in TENTHS}
    scores = scores_of(bench.score(made))
    return {"seconds_per_picture": made.seconds, **scores, **growth}


def _sheet(bench: Bench, name: str, size: int, styles: int) -> Image.Image:
    half = SIDE // 2
    known, _ = bench.divided(bench.training_photos, size)
    photos = [*known[:half], *(job.content for job in bench.jobs[:half])]
    seen, unseen = bench.divided(bench.training_paintings, styles)
    paintings = [*seen[:half], *unseen[:half]]
    folder = _crossed(bench, name, photos, paintings)
    rows: list[list[Path | None]] = [
        [painting, *(folder / _file(photo, painting) for photo in photos)] for painting in paintings
    ]
    return sheet([[None, *photos], *rows], ["", *_labels(len(photos))], cell=96)


def _labels(count: int) -> list[str]:
    return [f"photo {n + 1}" for n in range(count)]


def _file(photo: Path, painting: Path) -> str:
    return f"{photo.parent.name}-{photo.stem}-{painting.stem}.png"


def _crossed(bench: Bench, name: str, photos: list[Path], paintings: list[Path]) -> Path:
    """Stylise every photograph with every painting; return the folder."""

    def make(folder: Path) -> int:
        method, content = bench.method(name), images.load_batch(photos)
        for painting in paintings:
            style = images.load_batch([painting] * len(photos))
            for photo, image in zip(photos, method.stylize(content, style), strict=True):
                images.save_png(image, folder / _file(photo, painting))
        return len(photos) * len(paintings)

    key = [bench.key(name), [str(path) for path in (*photos, *paintings)]]
    return bench.once("sheet", key, make)[0]


def _grow(axes: Axes, grown: dict[str, pd.Series[float]]) -> None:
    for name, curve in grown.items():
        axes.plot(curve.index, curve, label=name)
