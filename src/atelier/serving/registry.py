"""Publication in MLflow: a run of the comparison, scores in every method's run, models.

A trained method is the registered model ``atelier-<method>``: a version per training, and the alias
``champion`` for the one that scored best. The model is stored in the training's run, in the format
of ``pyfunc.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from atelier.core import records, zoo_files
from atelier.core.config import Params, UserError
from atelier.core.files import read_record, write_json
from atelier.core.images import save_png
from atelier.core.paths import CARD, CHECKPOINTS, Model, Results
from atelier.core.records import PICTURES, cost, scores
from atelier.methods.trained import weights_digest
from atelier.metrics.catalogue import FIGURES, HELD_OUT, HELD_OUT_METRICS, NETWORKS, PREFERENCES
from atelier.metrics.evaluator import labelled
from atelier.reports import leaderboard, tables
from atelier.reports.comparison import comparison_grid
from atelier.reports.outputs import digest
from atelier.serving.model_card import describe
from atelier.tracking.client import NOTE, Run, library, open_run, report
from atelier.tracking.inputs import data_inputs
from atelier.tracking.links import run_ids

PREFIX, ALIAS, FOLDER = "atelier-", "champion", "models"
FILES = "artifacts"
"""Folder of a model's files, as MLflow calls it: ``pyfunc.py`` reads the kept weights there."""
CODE = Path(__file__).with_name("model_code.py")
PROTOCOL = (*NETWORKS["features"], *NETWORKS["perceptual"], "n_generated", "n_reference")
"""Figures of different protocols are not compared."""


def champion_metric(params: Params) -> str:
    """Return ``compare.champion``, the metric that selects the champion.

    Raises:
        UserError: it is not one of the comparison's columns.
    """
    metric = leaderboard.CompareSettings.of(params).champion
    if metric not in leaderboard.CHAMPIONS:
        known = ", ".join(leaderboard.CHAMPIONS)
        raise UserError(f"params.yaml: compare.champion: {metric!r} is not one of {known}")
    return metric


def publish(root: Path, params: Params, *, strict: bool = False) -> Iterator[str]:
    """Log the comparison, every method's scores in its run, and new models; a line for each model.

    What a store does not take is reported in one line. With ``strict`` that is an error, too, once
    all else is done.

    Raises:
        UserError: a column that does not exist is to choose the champion, or see above.
    """
    metric, frame = champion_metric(params), leaderboard.comparison(root, params)
    settings = {"scale": params.scale, "seed": params.seed, "champion": metric}
    with open_run("comparison", "compare", settings, {"data": digest(root)}) as run:
        unseen = (one.key for one in HELD_OUT_METRICS if not one.count)
        run.summary(_by_method(frame[frame["status"] == "ok"], {metric, *unseen}))
        run.inputs(data_inputs(Results(root).prepared.manifest))
        run.note(tables.to_markdown(frame))
        run.summary(_by_method(frame, [one.key for one in PREFERENCES]))
        for path in (*sorted(Results(root).comparison.glob("*.*")), *_votes(root)):
            run.artifact(path)
        rows = {row["method"]: row for row in frame.to_dict("records")}
        for name in params.method_names:
            model = _Model(root, name, run, metric, rows[name])
            run.attempt(f"scores of {name}", model.report)
            line = run.attempt(f"model of {name}", model.publish)
            if line:
                yield line
    if strict and run.lost:
        what = "nothing" if "tracking" in run.lost else f"no {', '.join(run.lost)}"
        raise UserError(f"the tracking store took {what}, see above; `atelier doctor` looks at it")


def _by_method(frame: pd.DataFrame, keys: Collection[str]) -> dict[str, float]:
    """Return figures of all rows that have them, as ``figure/method``."""
    return {
        f"{key}/{name}": float(value)
        for key in keys
        for name, value in frame.set_index("method")[key].dropna().items()
    }


def _votes(root: Path) -> list[Path]:
    return [path for path in (Results(root).votes,) if path.is_file()]


@dataclass(frozen=True)
class _Model:
    """A method to be registered."""

    root: Path
    name: str
    run: Run
    """Id of the comparison's run."""
    metric: str
    row: Mapping[Any, Any]
    """Row of the leaderboard: without figures if the method failed after an earlier success."""

    def report(self) -> None:
        """Add a grid of pictures, the scores and a description to the method's run.

        Here and not in ``evaluate``: MLflow takes longer to load than the scores to compute.
        """
        own = self._own_run
        if own is None:
            return
        after, unseen = (self._scores.get(key) or {} for key in (records.DENOISED, HELD_OUT))
        networks = {key: self._scores.get(key) for key in NETWORKS} if unseen else {}
        figures = labelled(self._scores) | labelled(after, "denoised.")
        figures |= labelled({**unseen, **networks}, f"{HELD_OUT}.")
        tags = {"status": str(self.row["status"]), NOTE: self._text}
        if figures:
            made = {PICTURES: str(self._scores[PICTURES])} if PICTURES in self._scores else {}
            tags |= {"protocol": self._protocol, **made}
            self._show(str(own.info.run_id))
        report(self.run.client, own, figures, tags)

    def _show(self, run_id: str) -> None:
        with suppress(UserError), TemporaryDirectory() as made:  # the photographs are missing
            path = Path(made, "grid.png")
            save_png(comparison_grid(self.root, [self.name]), path)
            self.run.client.log_artifact(run_id, str(path))

    def publish(self) -> str:
        """Register the weights, of its own training or else of the zoo; return a line, or ""."""
        folder, weights = self._folder, weights_digest(self._folder)
        if weights is None or not Model(folder).card.is_file():
            return ""
        now = {"weights": weights, **self._kept}
        known = [v for v in self._versions() if now == {k: v.tags.get(k) for k in now}]
        version = str(known[0].version) if known else self._add(folder, now)
        if known:
            self._update(known[0])
        champion = self._crown(version)
        crowned = f", which is the {ALIAS}" if champion == version else f"; {ALIAS}: {champion}"
        what = f" ({self._pretrained})" if self._pretrained else ""
        return f"{self.name}: version {version} of {self.model}{crowned if champion else ''}{what}"

    @cached_property
    def _folder(self) -> Path:
        """Return the folder of card and weights."""
        own = Results(self.root).model(self.name)
        entry = None if own.card.is_file() else zoo_files.find(self.name, self.root)
        if entry is None:
            return own.folder
        return entry.weights().parent

    @property
    def _kept(self) -> dict[str, str]:
        """Return the tag that names the steps whose weights were kept; {} for none."""
        steps = Model(self._folder).kept_steps()
        return {"checkpoints": ", ".join(map(str, steps))} if steps else {}

    @property
    def _pretrained(self) -> str:
        """Return how it began from the zoo, or that it is the zoo's; "" for neither."""
        card = read_record(Model(self._folder).card)
        return zoo_files.trained_on(card) if self._shipped else zoo_files.history(card)

    @property
    def _shipped(self) -> bool:
        """Return whether the weights are the zoo's, to which ``results`` does not apply."""
        return self._folder.parent != Results(self.root).models

    @property
    def model(self) -> str:
        """Name of the registered model."""
        return PREFIX + self.name

    @cached_property
    def _own_run(self) -> Any:
        """Return the run of the result, or a substitute if this store lacks it; None: no result.

        A result from DVC's cache, or made while there was no store, has no run here.
        """
        named = run_ids(self.root, self.name)
        for run_id in named:
            with suppress(library().MlflowException):
                found = self.run.client.get_run(run_id)
                if found.info.lifecycle_stage == "active":
                    return found
        if not self._scores:
            return None
        return self._tagged() or self._stand_in(str(next(iter(named), None)))

    def _tagged(self) -> Any:
        """Return the run of pictures without records, which were restored from the cache."""
        made = self._scores.get(PICTURES)
        own = self.run.client.get_run(self.run.id).info.experiment_id
        wanted = f"tags.method = '{self.name}' and tags.{PICTURES} = '{made}'"
        found = self.run.client.search_runs([own], wanted, max_results=1) if made else []
        return next(iter(found), None)

    def _stand_in(self, lost: str) -> Any:
        """A run for a result whose own, ``lost``, is not here; one for each set of pictures."""
        client, place = self.run.client, [self.run.client.get_run(self.run.id).info.experiment_id]
        wanted = f"tags.method = '{self.name}' and tags.stands_for = '{lost}'"
        for found in client.search_runs(place, wanted):
            if found.data.tags.get(PICTURES) in {None, self._scores.get(PICTURES)}:
                return found
        with open_run(self.name, "compare", {}, {"stands_for": lost}) as made:
            return client.get_run(made.id) if made.id else None

    def _versions(self) -> list[Any]:
        """Return the versions whose code still runs, newest first."""
        found = self.run.client.search_model_versions(f"name='{self.model}'")
        return [version for version in found if version.tags.get("code") == CODE.name]

    def _add(self, folder: Path, now: Mapping[str, str]) -> str:
        client, mlflow, own = self.run.client, library(), self._own_run
        with suppress(mlflow.MlflowException):  # it exists
            client.create_registered_model(self.model, description=self._text)
        place, run_id = f"{FOLDER}/{self.name}", str(own.info.run_id if own else self.run.id)
        with TemporaryDirectory() as made:
            card = self._copy_card(Model(folder), Path(made))
            _save(card, Model(folder).weights, Path(made, self.name))
            client.log_artifacts(run_id, str(Path(made, self.name)), place)
        self._add_kept(Model(folder), run_id, f"{place}/{FILES}")
        # "runs:/" instead of the path on disk, which changes when the project is moved
        source, tags = f"runs:/{run_id}/{place}", {**now, "code": CODE.name}
        found = client.create_model_version(
            self.model, source, run_id=run_id, tags=tags | self._tags(), description=self._text
        )
        return str(found.version)

    def _copy_card(self, model: Model, folder: Path) -> Path:
        """Write its card, with the settings of today's application, into a folder."""
        card = folder / CARD
        write_json(card, {**read_record(model.card), **self._applied})
        return card

    def _add_kept(self, model: Model, run_id: str, place: str) -> None:
        """Add the weights that the training kept, without a copy of them all in between."""
        for step in model.kept_steps():
            kept, there = model.checkpoint(step), f"{place}/{CHECKPOINTS}/{step}"
            with TemporaryDirectory() as made:
                card = self._copy_card(kept, Path(made))
                self.run.client.log_artifact(run_id, str(card), there)
            self.run.client.log_artifact(run_id, str(kept.weights), there)

    @property
    def _applied(self) -> dict[str, Any]:
        """Return the settings of the results, those used to apply included; {} without results."""
        found = {} if self._shipped else records.parameters(self.root, self.name)
        return {records.APPLIED: found} if found else {}

    def _update(self, known: Any) -> None:
        """Update a version's figures and description."""
        client = self.run.client
        for key, value in self._tags().items():
            if known.tags.get(key) != value:
                client.set_model_version_tag(self.model, known.version, key, value)
        client.update_model_version(self.model, known.version, description=self._text)

    def _tags(self) -> dict[str, str]:
        """Return the figures, and their protocol."""
        known = () if self._shipped else leaderboard.NUMBERS
        row = {k: self.row[k] for k in known if not pd.isna(self.row[k])}
        began = {"pretrained": self._pretrained} if self._pretrained else {}
        return {"protocol": self._protocol, **began, **{k: str(v) for k, v in row.items()}}

    @property
    def _protocol(self) -> str:
        known = " ".join(str(self._scores.get(key)) for key in PROTOCOL)
        return f"{known} {digest(self.root)}"

    @property
    def _text(self) -> str:
        return describe(self.root, self.name, self._scores, self._folder)

    @cached_property
    def _scores(self) -> Mapping[str, Any]:
        """Return the scores; {} if they are not of these settings and weights."""
        if self.row["status"] != "ok" or self._shipped:
            return {}
        found = scores(self.root, self.name)
        return {**cost(self.root, self.name, found), **found} if found else {}

    def _crown(self, version: str) -> str | None:
        """Set the alias on the best version with the protocol of ``version``; return it."""
        tags = {str(v.version): v.tags for v in self._versions() if self.metric in v.tags}
        if version not in tags:
            return None
        peers = [v for v in tags if tags[v]["protocol"] == tags[version]["protocol"]]
        rank = FIGURES[self.metric].rank
        best = min(peers, key=lambda v: (rank(float(tags[v][self.metric])), -int(v)))
        self.run.client.set_registered_model_alias(self.model, ALIAS, best)
        return best


def _save(card: Path, weights: Path, target: Path) -> None:
    """Write the model's files, without MLflow's inference of requirements and types, which is slow.

    The package is not named as a requirement: its name on the public index is not ours.
    """
    library().pyfunc.save_model(
        str(target),
        python_model=str(CODE),
        artifacts={"card": str(card), "weights": str(weights)},
        model_config={"device": "auto"},
        pip_requirements=[],
    )
