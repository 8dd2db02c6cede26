"""Catalogue of the studies; imports no torch, so that their list is instant."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from atelier.core.config import Params, UserError
from atelier.core.paths import Results
from atelier.core.settings import nearest

FIGURE, TABLE, NUMBERS = "figure.png", "table.md", "table.csv"
"""Files of a study."""


@dataclass(frozen=True)
class Study:
    """A study of one of the reports."""

    title: str
    report: int
    """Number of the report in docs/reports.md."""


STUDIES = {
    "overfitting": Study("U-GAT-IT on 50 photographs: ten checkpoints on the test set", 1),
    "metanet": Study("MetaNet original and improved, on 500 and on 1,000 pictures", 2),
    "ablation": Study("MetaNet's five variants side by side", 2),
    "gatys": Study("Gatys at 1e6 and 1e4, its iterates, and reconstructions by layer", 4),
    "transnet": Study("TransNet's five checkpoints: content, style and epoch", 3),
    "interpolation": Study("Ghiasi: from one painting to another, with its time", 1),
    "adaptation": Study("MetaNet adapted to one painting by 20 batches, then applied", 2),
    "denoising": Study("Zero-Shot Noise2Noise on noise of known strength", 5),
    "one_painting": Study("Ghiasi: one painting for the whole test set", 1),
    "translation": Study("CycleGAN in both directions, and outside its domain", 1),
    "warm_start": Study("CycleGAN from scratch, and begun with its weights of epoch 19", 1),
    "fid": Study("The five systems of the table, by Fréchet distance", 1),
}


def folder_of(name: str, project: Path, scale: str) -> Path:
    """Return the folder of a study's figure and table."""
    return Results(project).studies(scale) / name


def is_done(name: str, project: Path, scale: str) -> bool:
    """Return whether a study has been run at a scale."""
    return (folder_of(name, project, scale) / TABLE).is_file()


def run(name: str, project: Path, params: Params) -> list[Path]:
    """Run a study at the scale in force; return the files it wrote. What is done is kept.

    Raises:
        UserError: there is no such study, it cannot be done at this scale, or another one runs.
    """
    if name not in STUDIES:
        raise UserError(f"no study {name!r}{nearest(name, STUDIES)}; `atelier study` lists them")
    # imported here: both need torch
    from atelier.studies.bench import Bench  # noqa: PLC0415
    from atelier.studies.findings import write  # noqa: PLC0415

    folder = folder_of(name, project, params.scale)
    study = importlib.import_module(f"atelier.studies.{name}").study
    heading = f"{STUDIES[name].title} (scale {params.scale})"
    with _alone(folder.parent):
        return write(study(Bench(project, params)), folder, heading)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Refuse a second study in the same project: it would change the settings of the first."""
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{root}: another study is running there; wait until it has ended"
        ) from None
    try:
        yield
    finally:
        lock.release()
