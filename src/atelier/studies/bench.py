"""The bench of the studies at one scale: a small project of its own, which they share.

It lies below the project's results and holds its own pictures, trainings and runs, so that no study
changes a result of the project. Trainings run as the DAG's stage ``train`` does. What is done is
kept under a digest of all that it depends on, and not done again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml

from atelier.cluster.dvc import ENDING, INTERRUPTED, Children
from atelier.core import images
from atelier.core.config import Params, UserError
from atelier.core.device import pick_device
from atelier.core.extends import CLASS
from atelier.core.files import atomic, read_json, read_record, write_json
from atelier.core.fingerprint import stage_code
from atelier.core.layout import PHOTOGRAPHS
from atelier.core.pairing import Job, choose, list_jobs
from atelier.core.paths import Prepared, Results
from atelier.core.phases import WARM_START
from atelier.core.purpose import split
from atelier.core.records import record
from atelier.core.structure import STEPS, TopLevel
from atelier.datasets.prepare import prepare
from atelier.datasets.prepare_settings import PrepareSettings
from atelier.engine.stylize import seconds_per_picture, stylize
from atelier.methods.base import Method, make, system_of
from atelier.methods.trained import Trained, restore, weights_digest
from atelier.metrics.catalogue import HELD_OUT
from atelier.metrics.evaluator import EvaluateSettings, Evaluator, Reference
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import look_at

log = logging.getLogger(__name__)
LINKS = ("stages", "zoo")
"""Folders of the project that the trainings need: their code and the weights they begin with."""
SHOWN = 6
"""Rows of a sheet: photographs of a larger set that a figure shows."""


@dataclass(frozen=True)
class Made:
    """Stylised pictures of a study."""

    folder: Path
    """Holds ``<photo>.png``."""
    seconds: float
    """Mean seconds per picture, see ``engine.stylize``."""
    jobs: Sequence[Job]

    def picture(self, photo: str) -> Path:
        """Return the file of a photograph's result."""
        return self.folder / f"{photo}.png"


class Bench:
    """Pictures, entries and their trainings at one scale."""

    def __init__(self, project: Path, params: Params) -> None:
        """``params``: the project's settings, with the studies' scale in force."""
        self.project, self.source = project.resolve(), params
        self.root = Results(self.project).studies(params.scale)
        self.results = Results(self.root)
        self.entries: dict[str, dict[str, Any]] = {}

    # -- settings ---------------------------------------------------------------------------

    def entry(self, name: str, base: str, changes: Mapping[str, Any] | None = None) -> str:
        """Add an entry, that of the project called ``base`` with changes; return ``name``."""
        block = self.source.method(base)
        if block.get(WARM_START) == "zoo":  # the zoo has the entry, not its variant
            block[WARM_START] = f"zoo:{base}"
        self.entries[name] = {**block, **(changes or {})}
        return name

    def steps(self, base: str) -> int:
        """Return the training steps of an entry of the project.

        Raises:
            UserError: it is not trained at this scale.
        """
        steps = self.source.method(base).get("steps")
        if not steps:
            scale = self.source.scale
            how = "choose another by --scale (smoke: a minute; cpu; full)"
            raise UserError(f"at scale {scale} {base} is not trained, it has its weights; {how}")
        return int(steps)

    @property
    def params(self) -> Params:
        """The settings of the studies' own project: plain blocks of one scale."""
        source, scale = self.source, self.source.scale
        whole = source.block()
        tree = {key: whole[key] for key in TopLevel.model_fields if key in whole}
        tree |= {step: source.scaled(step) for step in STEPS}
        tree |= {"scale": scale, "methods": self.entries}
        return Params({**tree, "scales": {scale: {name: {} for name in self.entries}}})

    @property
    def device(self) -> str:
        """The device that the project's settings choose."""
        return pick_device(self.source)

    # -- pictures ---------------------------------------------------------------------------

    @cached_property
    def prepared(self) -> Prepared:
        """The prepared pictures; made anew where the raw ones or the settings have changed."""
        block = self.source.scaled("prepare")
        settings = PrepareSettings.build(block, "prepare", self.source.places("prepare"))
        data, out = self.project / "data", self.results.prepared
        files = [path for path in sorted(data.rglob("*")) if path.is_file()]
        seen = [(str(path.relative_to(data)), path.stat().st_mtime_ns) for path in files]
        key = digest(settings.decisive(), self.source.seed, seen)
        note = self.root / "prepared.json"
        if read_record(note).get("key") != key or not out.manifest.is_file():
            for warning in prepare(data, out.folder, settings, self.source.seed)["warnings"]:
                log.warning("%s", warning)
            write_json(note, {"key": key})
        return out

    @cached_property
    def jobs(self) -> list[Job]:
        """The test photographs, each with its painting."""
        return list_jobs(self.prepared.folder)

    @property
    def shown(self) -> list[Job]:
        """The first of the test photographs, for figures."""
        return self.jobs[:SHOWN]

    def reference_paintings(self) -> list[Path]:
        """Return the paintings that stand for the artist: held-out ones, if there are any."""
        return images.find(self.prepared.test_paintings) or images.find(self.prepared.paintings)

    @cached_property
    def training_photos(self) -> list[Path]:
        """The training photographs."""
        folders = [self.prepared.folder / split for split in PHOTOGRAPHS["train"]]
        return [path for folder in folders for path in images.find(folder)]

    @cached_property
    def training_paintings(self) -> list[Path]:
        """The paintings that systems are trained with."""
        return [*images.find(self.prepared.paintings), *images.find(self.prepared.styles)]

    def divided(self, paths: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
        """Return those that ``photos`` or ``styles: count`` choose for training, and the others."""
        kept = set(choose([path.name for path in paths], count, self.source.seed))
        return [p for p in paths if p.name in kept], [p for p in paths if p.name not in kept]

    # -- work that is kept ------------------------------------------------------------------

    def code(self, stage: str, name: str | None = None) -> str:
        """Return a digest of the code of a stage of the DAG, for an entry if it has several."""
        system = None if name is None else self.entries[name][CLASS]
        return stage_code(stage, system, self.project)

    @cached_property
    def data(self) -> str:
        """Digest of the prepared pictures."""
        return str(read_json(self.prepared.manifest)["digest"])

    def folder(self, label: str, *key: Any) -> Path:
        """Return the folder of a piece of work, which depends on ``key``, data and seed."""
        return self.root / "work" / f"{label}-{digest(self.data, self.source.seed, *key)}"

    def once(self, label: str, key: Sequence[Any], make: Callable[[Path], Any]) -> tuple[Path, Any]:
        """Do a piece of work, unless it has been done with this key.

        Returns:
            Its folder, which ``make`` takes for files of its own, and what ``make`` returned, as
            JSON.
        """
        folder = self.folder(label, *key)
        path = folder / "result.json"
        if not path.is_file():
            write_json(path, make(folder))
        return folder, read_json(path)

    # -- trainings --------------------------------------------------------------------------

    def key(self, name: str) -> dict[str, Any]:
        """Return all that an entry's training depends on."""
        block = self.params.method(name)
        wanted = split(system_of(block, f"methods.{name}").Settings, block)["train"]
        known = {"seed": self.source.seed, "data": self.data}
        return {**known, "settings": wanted, "code": self.code("train", name)}

    def train(self, name: str) -> Mapping[str, Any]:
        """Train an entry, unless it is trained; return the figures of its training.

        Raises:
            UserError: it failed, as said above.
            KeyboardInterrupt: Ctrl-C; the training has saved and will resume.
        """
        if not issubclass(system_of(self.entries[name], f"methods.{name}"), Trained):
            return {}  # it optimises every picture
        note, key = self.root / "trained" / f"{name}.json", digest(self.key(name))
        if read_record(note).get("key") != key:
            self._begin(name)
            code = self._run("train", name)
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            if code:
                raise UserError(f"{name}: its training failed, as said above")
            write_json(note, {"key": key})
        return record(self.root, name, "training")

    def _begin(self, name: str) -> None:
        log.info("train %s", name)
        for old in (self.results.model(name).folder, self.results.snapshots(name)):
            shutil.rmtree(old, ignore_errors=True)
        with atomic(self.root / "params.yaml") as part:
            tree = json.loads(json.dumps(self.params.block()))  # plain lists
            part.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        for link in LINKS:
            to = self.root / link
            to.unlink(missing_ok=True)
            if (self.project / link).is_dir():
                to.symlink_to(self.project / link)

    def _run(self, stage: str, name: str) -> int:
        command = [*ENDING, sys.executable, f"stages/{stage}.py", name]
        own = {k: v for k, v in os.environ.items() if not k.startswith("DVC_")}
        return Children().run(command, cwd=self.root, env=own)

    def model(self, name: str, step: int | None = None) -> Path:
        """Return the folder of an entry's weights, or of those kept after ``step``."""
        model = self.results.model(name)
        return (model if step is None else model.checkpoint(step)).folder

    def method(self, name: str, model: Path | None = None) -> Method[Any]:
        """Return an entry with the weights in ``model``; default: its own.

        One that needs no training has none.
        """
        block, where = self.params.method(name), f"methods.{name}"
        method = make(block, where, seed=self.source.seed, device=self.device)
        restore(method, model or self.model(name))
        return method

    def pictures(
        self, name: str, step: int | None = None, jobs: Sequence[Job] | None = None
    ) -> Made:
        """Stylise the test set, or ``jobs``, with an entry; see ``applied``."""
        model, label = self.model(name, step), name if step is None else f"{name}@{step}"
        return self.applied(name, model, jobs, label)

    def applied(
        self, name: str, model: Path, jobs: Sequence[Job] | None = None, label: str = ""
    ) -> Made:
        """Stylise the test set, or ``jobs``; batches that are done are not done again.

        Args:
            name: an entry.
            model: the folder of its weights, if it has any.
            jobs: default: the test set.
            label: shown with the progress; default: the name.
        """
        jobs, method, label = jobs or self.jobs, self.method(name, model), label or name
        known = [method.settings.model_dump(), method.card(), self.code("stylize", name)]
        folder = self.folder(label, *known, weights_digest(model), [str(job) for job in jobs])
        records = stylize(method, jobs, folder, lambda *_: None, f"stylize {label}")
        return Made(folder, seconds_per_picture(records), jobs)

    # -- scores -----------------------------------------------------------------------------

    @cached_property
    def evaluator(self) -> Evaluator:
        """The networks of the evaluation."""
        block = self.source.scaled("evaluate")
        return Evaluator.load(EvaluateSettings.build(block, "evaluate"), self.device)

    @cached_property
    def reference(self) -> Reference:
        """Features of all paintings, the held-out ones apart."""
        paintings, held_out = self.prepared.paintings, self.prepared.test_paintings
        return look_at(self.evaluator, images.find(paintings), images.find(held_out))

    def score(self, made: Made, *, paired: bool = True) -> dict[str, Any]:
        """Return the scores of pictures against the paintings and their photographs.

        Distances between sets are those to the held-out paintings, where there are any.

        ``paired``: whether each has a painting of its own, as those of an unpaired system have not.
        """
        pairs = {job.photo: job.style.name for job in made.jobs}
        settings = self.source.scaled("evaluate")
        key = [str(made.folder), pairs, paired, settings, self.code("evaluate")]
        score = partial(self._scored, made.folder, pairs, paired=paired)
        return dict(self.once("score", key, lambda _: score())[1])

    def _scored(self, folder: Path, pairs: Mapping[str, str], *, paired: bool) -> dict[str, Any]:
        paintings = self.reference.names if paired else []
        found = made_pairs(folder, self.prepared.photos, pairs, paintings)
        scores = self.evaluator.score(self.reference, found)
        scores |= scores.pop(HELD_OUT, {})
        return {key: value for key, value in scores.items() if key != "left_out"}


def digest(*key: Any) -> str:
    """Return 16 hexadecimal digits over anything that JSON or ``str`` can write."""
    text = json.dumps(key, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
