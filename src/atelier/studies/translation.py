"""CycleGAN in both directions over the whole sets, and on photographs outside its domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
from PIL import Image

from atelier.core import images
from atelier.methods.trained import weights_digest
from atelier.methods.unpaired import Unpaired
from atelier.metrics.pairwise import Pair
from atelier.metrics.reference import look_at
from atelier.studies.bench import SHOWN, Bench
from atelier.studies.findings import Findings, sheet
from atelier.studies.tables import scores_of
from atelier.tracking.progress import progress

ENTRY = "cyclegan"
OUTSIDE = "everyday"
"""Split of photographs of other subjects, such as portraits."""


def study(bench: Bench) -> Findings:
    """Translate photographs to art and paintings to photographs; score both, and the inputs."""
    bench.train(bench.entry(ENTRY, ENTRY))
    photos = [job.content for job in bench.jobs]
    paintings = bench.reference_paintings()
    outside = images.find(bench.prepared.folder / OUTSIDE)
    sets = [("to_art", photos, paintings), ("to_photo", paintings, photos)]
    sets += [("to_art outside", outside, paintings)] if outside else []
    rows: list[dict[str, Any]] = []
    pictures: dict[str, list[Path]] = {}
    for name, inputs, targets in sets:
        folder = _translated(bench, name, inputs)
        made = [folder / path.name for path in inputs]
        both = zip((name, f"{name}: untouched"), _scores(bench, made, inputs, targets), strict=True)
        rows += [{"set": label, "pictures": len(inputs), **scores} for label, scores in both]
        pictures[f"{name}: input"] = list(inputs[:SHOWN])
        pictures[name] = made[:SHOWN]
    notes = ["frechet: to_art is compared with the paintings, to_photo with the test photographs."]
    if not outside:
        notes.append(
            f"There is no {OUTSIDE}/ below data/, so that no set outside the domain is shown."
        )
    return Findings(pd.DataFrame(rows), _sheet(pictures), notes)


def _sheet(pictures: Mapping[str, Sequence[Path]]) -> Image.Image:
    """Return a row per name, of one sheet, so that all columns are in line."""
    columns = max(map(len, pictures.values()))
    rows = [[*row, *[None] * (columns - len(row))] for row in pictures.values()]
    return sheet(rows, [""] * columns, list(pictures))


def _translated(bench: Bench, name: str, inputs: Sequence[Path]) -> Path:
    """Write the translations of pictures under their own names; return the folder."""
    direction = name.partition(" ")[0]

    def make(folder: Path) -> int:
        method = cast("Unpaired[Any]", bench.method(ENTRY))
        for path in progress(inputs, len(inputs), f"{ENTRY} {name}"):
            images.save_png(
                method.apply(images.load_batch([path]), direction)[0], folder / path.name
            )
        return len(inputs)

    weights = weights_digest(bench.model(ENTRY))
    key = [bench.key(ENTRY), weights, direction, [str(path) for path in inputs]]
    return bench.once(f"{ENTRY}-{direction}", key, make)[0]


def _scores(
    bench: Bench, made: Sequence[Path], inputs: Sequence[Path], targets: Sequence[Path]
) -> list[dict[str, float]]:
    """Return the scores of the translations, and those of the inputs as they are."""
    sets = [
        [Pair(one, source, None) for one, source in zip(paths, inputs, strict=True)]
        for paths in (made, inputs)
    ]
    settings, code = bench.source.scaled("evaluate"), bench.code("evaluate")
    key = [[str(path) for path in (*made, *targets)], settings, code]

    def make(_: Path) -> list[dict[str, float]]:
        reference = look_at(bench.evaluator, targets)
        return [scores_of(one) for one in bench.evaluator.score_sets(reference, sets)]

    return list(bench.once("scores", key, make)[1])
