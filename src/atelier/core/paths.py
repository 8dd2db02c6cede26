"""Every place below ``results/``, and the names of the files there; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.core.config import UserError

RESULTS = "results"
CARD, TRAINING, RUN, RECORD = "card.json", "training.json", "run.json", "record.json"
MANIFEST, PAIRING, CURVES = "manifest.json", "pairing.json", "curves.csv"
WEIGHTS = "model.safetensors"
"""File name of trained weights, beside their card."""
SNAPSHOTS = "snapshots"


def plain(name: Any) -> str:
    """``name``, unless it could lead out of its folder: names come from the address bar too.

    Only the name is judged. The file may well be a link into DVC's cache.
    """
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & set("/\\\0"):
        raise UserError(f"{name!r}: is no plain file name")
    return name


@dataclass(frozen=True)
class Prepared:
    """The prepared pictures: written by ``prepare``, read by all."""

    folder: Path

    @property
    def photos(self) -> Path:
        """The test photographs."""
        return self.folder / "photos/test"

    @property
    def training_photos(self) -> Path:
        """The photographs to train with."""
        return self.folder / "photos/train"

    @property
    def paintings(self) -> Path:
        """The paintings of the artist."""
        return self.folder / "paintings"

    @property
    def styles(self) -> Path:
        """Paintings by others; the folder may be missing."""
        return self.folder / "styles"

    @property
    def manifest(self) -> Path:
        """What was prepared, and how."""
        return self.folder / MANIFEST

    @property
    def pairing(self) -> Path:
        """Which painting goes with which test photograph."""
        return self.folder / PAIRING


@dataclass(frozen=True)
class Model:
    """A method after its training, or only its card if it has none."""

    folder: Path

    @property
    def card(self) -> Path:
        """What it is, with its parameters."""
        return self.folder / CARD

    @property
    def training(self) -> Path:
        """What the training took."""
        return self.folder / TRAINING

    @property
    def run(self) -> Path:
        """Id of its run in MLflow."""
        return self.folder / RUN

    @property
    def weights(self) -> Path:
        """Its weights."""
        return self.folder / WEIGHTS


@dataclass(frozen=True)
class Pictures:
    """The pictures of one method, as they are or denoised."""

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
        """How they were made."""
        return self.folder / RECORD


@dataclass(frozen=True)
class Results:
    """All of a project's results.

    Methods and files are asked for by name; one that leads out of its folder is a UserError.
    """

    root: Path = Path()
    """Of the project."""

    @property
    def folder(self) -> Path:
        """Everything lies below it."""
        return self.root / RESULTS

    @property
    def prepared(self) -> Prepared:
        """The prepared pictures."""
        return Prepared(self.folder / "prepared")

    @property
    def settings(self) -> Path:
        """Method → its settings at the scale in force, resolved."""
        return self.folder / "settings.json"

    @property
    def pretrained(self) -> Path:
        """Folder of what each training begins from."""
        return self.folder / "pretrained"

    @property
    def reference(self) -> Path:
        """Vectors of the paintings."""
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
        """Folder of the pictures drawn in the training."""
        return self.folder / SNAPSHOTS / plain(method)

    def curves(self, method: str) -> Path:
        """Losses of the training by step."""
        return self.folder / "curves" / f"{plain(method)}.csv"

    def stylized(self, method: str) -> Pictures:
        """What a method made."""
        return Pictures(self.folder / "stylized" / plain(method))

    def denoised(self, method: str) -> Pictures:
        """The same, denoised."""
        return Pictures(self.folder / "denoised" / plain(method))

    def metrics(self, row: str) -> Path:
        """How a method, or a baseline, was scored."""
        return self.folder / "metrics" / f"{plain(row)}.json"

    def records(self, method: str) -> Path:
        """What varies from run to run; DVC does not track it."""
        return self.folder / "records" / f"{plain(method)}.json"

    def status(self, row: str) -> Path:
        """What is running or failed; no file if all is well."""
        return self.folder / "status" / f"{plain(row)}.json"
