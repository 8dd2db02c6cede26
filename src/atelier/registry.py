"""The comparison in MLflow: its run, a description of every method's run, a model of every method.

A trained method is the registered model ``atelier-<method>``: a version per training, and the alias
``champion`` for the one that scored best. The model lies in the training's run and is what
``served.py`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from atelier import leaderboard, tables
from atelier.compare import comparison_grid
from atelier.core.config import Params, UserError
from atelier.core.files import read_json
from atelier.core.images import save_png
from atelier.describe import describe
from atelier.learn.training import WEIGHTS, weights_digest
from atelier.metrics.score import labelled
from atelier.results import digest
from atelier.tracking import Run, library, open_run, report

PREFIX, ALIAS, FOLDER = "atelier-", "champion", "models"
CODE = Path(__file__).with_name("mlmodel.py")
PROTOCOL = ("features", "features_hash", "n_generated", "n_reference")
"""Figures of different protocols are not compared."""


def champion_metric(params: Params) -> str:
    """``compare.champion``: which figure chooses the champion.

    Raises:
        UserError: it is none of the comparison's columns.
    """
    metric = leaderboard.CompareSettings.of(params).champion
    if metric not in leaderboard.NUMBERS:
        known = ", ".join(leaderboard.NUMBERS)
        raise UserError(f"params.yaml: compare.champion: {metric!r} is none of {known}")
    return metric


def publish(root: Path, params: Params) -> Iterator[str]:
    """Log the comparison, describe every method's run, register what is new; a line for each model.

    A store that cannot be used is told of in one line; nothing is raised for it.
    """
    metric, frame = champion_metric(params), leaderboard.comparison(root, params)
    knobs = {"scale": params.scale, "seed": params.seed, "champion": metric}
    with open_run("comparison", "compare", knobs, {"data": digest(root)}) as run:
        done = frame[frame["status"] == "ok"].set_index("method")[metric].dropna()
        run.summary({f"{metric}/{name}": value for name, value in done.items()})
        run.note(tables.to_markdown(frame))
        for path in sorted((root / "results/comparison").glob("*.*")):
            run.artifact(path)
        for name in params.method_names:
            model = _Model(root, name, run, metric)
            line = run.attempt(f"model of {name}", model.publish)
            if line:
                yield line


@dataclass(frozen=True)
class _Model:
    """A method on its way into the registry."""

    root: Path
    name: str
    run: Run
    """Of the comparison."""
    metric: str

    def publish(self) -> str:
        """Describe its run and register its weights; "" when there are none."""
        folder = self.root / "results/models" / self.name
        own = self._own_run(folder)
        if own:
            self._report(own)
        weights = weights_digest(folder)
        if weights is None or not (folder / "card.json").is_file():
            return ""
        version = self._known(weights)
        if version:
            self._score(version)
        else:
            version = self._add(folder, weights, str(own.info.run_id if own else self.run.id))
        champion = self._crown(version)
        crowned = f", which is the {ALIAS}" if champion == version else f"; {ALIAS}: {champion}"
        return f"{self.name}: version {version} of {self.model}{crowned if champion else ''}"

    @property
    def model(self) -> str:
        """Name of the registered model."""
        return PREFIX + self.name

    def _own_run(self, folder: Path) -> Any:
        """The run it was trained in; None where this store does not have it."""
        with suppress(UserError, KeyError, library().MlflowException):
            found = self.run.client.get_run(str(read_json(folder / "run.json")["run_id"]))
            if found.info.lifecycle_stage == "active":
                return found
        return None

    def _report(self, own: Any) -> None:
        """Give the method's run its scores, its pictures in a grid and a description.

        Here and not in ``evaluate``: MLflow takes longer to load than the scores to compute.
        """
        found, text = self._metrics(), describe(self.root, self.name)
        figures = labelled(found) | labelled(found.get("denoised", {}), "denoised.")
        if report(self.run.client, own, figures, text):
            with suppress(UserError), TemporaryDirectory() as made:  # the photographs are gone
                path = Path(made, "grid.png")
                save_png(comparison_grid(self.root, [self.name]), path)
                self.run.client.log_artifact(own.info.run_id, str(path))

    def _versions(self) -> list[Any]:
        return list(self.run.client.search_model_versions(f"name='{self.model}'"))

    def _known(self, weights: str) -> str | None:
        """The version with these weights, unless the code it was saved with is of old."""
        wanted = {"weights": weights, "code": CODE.name}
        found = [v.version for v in self._versions() if wanted.items() <= v.tags.items()]
        return str(found[0]) if found else None

    def _add(self, folder: Path, weights: str, run_id: str) -> str:
        client, mlflow = self.run.client, library()
        with suppress(mlflow.MlflowException):  # it is there
            client.create_registered_model(self.model, description=describe(self.root, self.name))
        place = f"{FOLDER}/{self.name}"
        with TemporaryDirectory() as made:
            _save(folder, Path(made, self.name))
            client.log_artifacts(run_id, str(Path(made, self.name)), place)
        # "runs:/" and not the place on disk, which changes when the project is moved
        source, tags = f"runs:/{run_id}/{place}", {"weights": weights, "code": CODE.name}
        tags |= self._tags()
        text = describe(self.root, self.name)
        found = client.create_model_version(
            self.model, source, run_id=run_id, tags=tags, description=text
        )
        return str(found.version)

    def _score(self, version: str) -> None:
        """Bring a version's figures and its description up to date."""
        client, text = self.run.client, describe(self.root, self.name)
        had = client.get_model_version(self.model, version).tags
        for key, value in self._tags().items():
            if had.get(key) != value:
                client.set_model_version_tag(self.model, version, key, value)
        client.update_model_version(self.model, version, description=text)

    def _tags(self) -> dict[str, str]:
        """The figures, and the protocol they belong to."""
        found = self._metrics()
        protocol = " ".join(str(found.get(key)) for key in PROTOCOL)
        tags = {"protocol": f"{protocol} {digest(self.root)}", **_figures(found)}
        return {key: str(value) for key, value in tags.items()}

    def _metrics(self) -> Mapping[str, Any]:
        path = self.root / "results/metrics" / f"{self.name}.json"
        with suppress(UserError):
            found = read_json(path)
            return found if isinstance(found, Mapping) else {}
        return {}

    def _crown(self, version: str) -> str | None:
        """Give the alias to the best of those scored as ``version`` was; returns the best."""
        tags = {str(v.version): v.tags for v in self._versions() if self.metric in v.tags}
        if version not in tags:
            return None
        sign = -1 if self.metric in leaderboard.BETTER_HIGH else 1
        peers = [v for v in tags if tags[v]["protocol"] == tags[version]["protocol"]]
        best = min(peers, key=lambda v: (sign * float(tags[v][self.metric]), -int(v)))
        self.run.client.set_registered_model_alias(self.model, ALIAS, best)
        return best


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    return {k: found[k] for k in leaderboard.NUMBERS if isinstance(found.get(k), int | float)}


def _save(folder: Path, target: Path) -> None:
    """The model's files; MLflow's guesses at requirements and types take seconds and are left out.

    The package is not named as a requirement: its name on the public index is not ours.
    """
    library().pyfunc.save_model(
        str(target),
        python_model=str(CODE),
        artifacts={"card": str(folder / "card.json"), "weights": str(folder / WEIGHTS)},
        model_config={"device": "auto"},
        pip_requirements=[],
    )
