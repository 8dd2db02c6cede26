"""Paths of all folders and files below ``results/``; imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.core.config import UserError

RESULTS = "results"
CARD, TRAINING, RUN, RECORD = "card.json", "training.json", "run.json", "record.json"
MANIFEST, PAIRING, CURVES = "manifest.json", "pairing.json", "curves.csv"
WEIGHTS = "model.safetensors"
"""File name of trained weights, beside their card."""
SNAPSHOTS, CHECKPOINTS = "snapshots", "checkpoints"
TEST_PAINTINGS = "test_paintings"
"""Folder and split of the paintings that no training sees."""
VOTES = "votes.db"
"""File name of people's votes, in the project's root: nothing could make them again."""


def plain(name: Any) -> str:
    """Return ``name``, unless it could lead out of its folder: names also come from URLs.

    Only the name is checked. The file may be a link into DVC's cache.
    """
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & set("/\\\0"):
        raise UserError(f"{name!r}: is not a plain file name")
    return name


@dataclass(frozen=True)
class Prepared:
    """Prepared pictures, written by ``prepare``."""

    folder: Path

    @property
    def photos(self) -> Path:
        """Folder of the test photographs."""
        return self.folder / "photos/test"

    @property
    def paintings(self) -> Path:
        """Folder of the artist's paintings, the reference set."""
        return self.folder / "paintings"

    @property
    def test_paintings(self) -> Path:
        """Folder of the held-out paintings, the second reference set; may be missing."""
        return self.folder / TEST_PAINTINGS

    @property
    def styles(self) -> Path:
        """Folder of paintings by others; may be missing."""
        return self.folder / "styles"

    @property
    def larger(self) -> Prepared:
        """Larger copies of the pictures to train on; may be missing."""
        return Prepared(self.folder / "training")

    @property
    def manifest(self) -> Path:
        """Hashes of the prepared pictures, and how they were prepared."""
        return self.folder / MANIFEST

    @property
    def pairing(self) -> Path:
        """Pairing of test photographs with paintings."""
        return self.folder / PAIRING


@dataclass(frozen=True)
class Model:
    """Weights and card of a trained method; of others only the card."""

    folder: Path

    @property
    def card(self) -> Path:
        """Card: the method and its settings."""
        return self.folder / CARD

    @property
    def training(self) -> Path:
        """Time, memory and device of the training."""
        return self.folder / TRAINING

    @property
    def run(self) -> Path:
        """Id of its run in MLflow."""
        return self.folder / RUN

    @property
    def weights(self) -> Path:
        """Final weights."""
        return self.folder / WEIGHTS

    @property
    def checkpoints(self) -> Path:
        """Folder of the weights kept after some of the steps, if any."""
        return self.folder / CHECKPOINTS

    def checkpoint(self, step: int) -> Model:
        """Weights kept after ``step``, with their card."""
        return Model(self.checkpoints / str(step))

    def kept_steps(self) -> list[int]:
        """Return the steps whose weights were kept, in order."""
        found = self.checkpoints.iterdir() if self.checkpoints.is_dir() else ()
        return sorted(int(path.name) for path in found if path.name.isdecimal())


@dataclass(frozen=True)
class Pictures:
    """Stylised pictures of one method, as generated or denoised."""

    folder: Path

    @property
    def images(self) -> Path:
        """``<photo>.png`` of every test photograph."""
        return self.folder / "images"

    @property
    def extras(self) -> Path:
        """Strips: ``<title>/<row>/<column>.png``."""
        return self.folder / "extras"

    @property
    def curves(self) -> Path:
        """Losses by step, averaged over the pictures."""
        return self.folder / CURVES

    @property
    def record(self) -> Path:
        """Record of how they were generated."""
        return self.folder / RECORD


@dataclass(frozen=True)
class Results:
    """Results of a project.

    Methods and files are given by name; one that leads out of its folder is a UserError.
    """

    root: Path = Path()
    """Root folder of the project."""

    @property
    def folder(self) -> Path:
        """Folder of all results."""
        return self.root / RESULTS

    @property
    def prepared(self) -> Prepared:
        """Folder of the prepared pictures."""
        return Prepared(self.folder / "prepared")

    @property
    def settings(self) -> Path:
        """Method → its settings at the scale in force, resolved; also those of ``prepare``."""
        return self.folder / "settings.json"

    @property
    def pretrained(self) -> Path:
        """Folder of the records of the weights that each training begins from."""
        return self.folder / "pretrained"

    @property
    def reference(self) -> Path:
        """Feature vectors of the reference set."""
        return self.folder / "reference.safetensors"

    @property
    def baselines(self) -> Path:
        """Folder of the baselines' pictures."""
        return self.folder / "baselines"

    def baseline(self, key: str) -> Pictures:
        """Pictures of a baseline that has its own, see ``baselines.MADE``."""
        return Pictures(self.baselines / plain(key))

    @property
    def comparison(self) -> Path:
        """Folder of the tables and sheets."""
        return self.folder / "comparison"

    @property
    def models(self) -> Path:
        """Folder of all models."""
        return self.folder / "models"

    def model(self, method: str) -> Model:
        """Card and weights of a method."""
        return Model(self.models / plain(method))

    def snapshots(self, method: str) -> Path:
        """Folder of the snapshots taken during training."""
        return self.folder / SNAPSHOTS / plain(method)

    def curves(self, method: str) -> Path:
        """Training losses by step."""
        return self.folder / "curves" / f"{plain(method)}.csv"

    def stylized(self, method: str) -> Pictures:
        """Stylised pictures of a method."""
        return Pictures(self.folder / "stylized" / plain(method))

    def denoised(self, method: str) -> Pictures:
        """Denoised pictures of a method."""
        return Pictures(self.folder / "denoised" / plain(method))

    def metrics(self, row: str) -> Path:
        """Scores of a method or a baseline."""
        return self.folder / "metrics" / f"{plain(row)}.json"

    def denoised_metrics(self, method: str) -> Path:
        """Scores of a method's denoised pictures."""
        return self.folder / "metrics" / "denoised" / f"{plain(method)}.json"

    def records(self, method: str) -> Path:
        """Figures that vary from run to run; not tracked by DVC."""
        return self.folder / "records" / f"{plain(method)}.json"

    def studies(self, scale: str) -> Path:
        """Folder of the reports' studies at a scale: a small project of its own."""
        return self.folder / "studies" / plain(scale)

    @property
    def votes(self) -> Path:
        """Copy of all votes, on which the comparison depends; no file before the first vote."""
        return self.folder / "votes" / "votes.csv"

    def status(self, row: str) -> Path:
        """Status of a stage that is running or failed; no file otherwise."""
        return self.folder / "status" / f"{plain(row)}.json"

    def last_of(self, stage: str, row: str) -> Path | None:
        """File that a stage writes last; None for a stage of no method or baseline."""
        last: dict[str, Callable[[str], Path]] = {
            "train": lambda name: self.model(name).card,
            "stylize": lambda name: self.stylized(name).record,
            "denoise": lambda name: self.denoised(name).record,
            "evaluate": self.metrics,
            "evaluate_denoised": self.denoised_metrics,
            "reference": self.metrics,
        }
        return last[stage](row) if stage in last else None
