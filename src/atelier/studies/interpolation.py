"""Ghiasi's interpolation: from one painting's style vector to another's, with its time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
from torch import Tensor

from atelier.core import images
from atelier.methods.trained import SHARES, Arbitrary, weights_digest
from atelier.studies.bench import Bench, Made
from atelier.studies.findings import Findings, sheet

ENTRY = "arbitrary"


def study(bench: Bench) -> Findings:
    """Mix two paintings in fifths on every photograph of the test set."""
    bench.train(bench.entry(ENTRY, ENTRY))
    one, other = [bench.jobs[0].style, _second(bench)]
    key = [bench.key(ENTRY), weights_digest(bench.model(ENTRY)), str(one), str(other)]
    folder, seconds = bench.once("mixtures", key, lambda at: _mix(bench, at, [one, other]))
    rows = []
    for share, each in zip(SHARES, seconds, strict=True):
        row = {"weight": share, "seconds_per_picture": each}
        for label, painting in (("first", one), ("second", other)):
            jobs = [replace(job, style=painting) for job in bench.jobs]
            scores = bench.score(Made(folder / f"{share:.1f}", each, jobs))
            row[f"style_to_{label}"] = scores["style"]
        rows.append(row)
    pictures: list[list[Path | None]] = [
        [job.content, *(folder / f"{share:.1f}" / f"{job.photo}.png" for share in SHARES)]
        for job in bench.shown
    ]
    pictures.insert(0, [None, one, *[None] * (len(SHARES) - 2), other])
    note = "weight: of the second painting. Times are of single pictures, after a first one."
    figure = sheet(pictures, ["photograph", *(f"{share:.1f}" for share in SHARES)])
    return Findings(pd.DataFrame(rows), figure, [note])


def _second(bench: Bench) -> Path:
    """Return another painting than that of the first photograph, if there is one."""
    first = bench.jobs[0].style
    return next((job.style for job in bench.jobs if job.style != first), first)


def _mix(bench: Bench, folder: Path, paintings: Sequence[Path]) -> list[float]:
    """Write ``<weight>/<photo>.png``; return the mean seconds per picture of each weight."""
    method = cast("Arbitrary[Any]", bench.method(ENTRY))
    styles = [images.load_batch([path]) for path in paintings]
    contents = [images.load_batch([job.content]) for job in bench.jobs]
    _timed(method, contents[0], styles, 0.5)  # the first one warms up
    found = []
    for share in SHARES:
        total = 0.0
        for job, content in zip(bench.jobs, contents, strict=True):
            seconds, image = _timed(method, content, styles, share)
            images.save_png(image, folder / f"{share:.1f}" / f"{job.photo}.png")
            total += seconds
        found.append(total / len(contents))
    return found


def _timed(
    method: Arbitrary[Any], content: Tensor, styles: Sequence[Tensor], share: float
) -> tuple[float, Tensor]:
    began = time.monotonic()
    image = method.interpolate(content, styles, [1 - share, share], 1.0)[0].cpu()
    return time.monotonic() - began, image
