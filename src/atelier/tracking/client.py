"""Runs in MLflow, which only this file imports. One run per method; its stages are processes.

The run's id is in the stages' output files, so a result restored from DVC's cache still has it. A
store that cannot be used is reported once, in one line, and everything here becomes a no-op.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat, TypeVar

from filelock import FileLock
from PIL import Image
from torch import Tensor

from atelier.core.device import peak_memory_mib
from atelier.core.images import to_image
from atelier.core.process import identity, is_gone
from atelier.tracking.inputs import DataInput
from atelier.tracking.provenance import context, flatten, run_name
from atelier.tracking.store import (
    artifacts_uri,
    brief,
    clean,
    database_of,
    drop_stray_folders,
    follow_move,
    probe,
    store_uri,
    text_of,
)
from atelier.tracking.system_metrics import Gauges

EXPERIMENT = "atelier"
FLUSH_SECONDS = 5.0
NOTE = "mlflow.note.content"
"""Tag of the description that MLflow displays, in Markdown."""
PROCESS = "process"
"""Tag that identifies the process of a run, to tell whether it is alive."""
BATCH = {"metrics": 1000, "params": 100, "tags": 100}
"""MLflow's limits for one ``log_batch``."""

log = logging.getLogger(__name__)
_dead: set[str] = set()  # Stores found unusable by this process: neither used nor reported again.
T = TypeVar("T")


def open_run(
    method: str,
    stage: str,
    params: Mapping[str, Any],
    tags: Mapping[str, Any] | None = None,
    run_id: str | None = None,
) -> Run:
    """Resume the run ``run_id``, or start a new one if that is impossible; never raises.

    Args:
        method: entry of ``methods`` in ``params.yaml``.
        stage: ``train``, ``stylize`` or ``compare``; prefix of the cost figures.
        params: settings, nested; logged as ``a.b.c``. MLflow's parameters are immutable: a run that
            has another value of one of them is not resumed, and the new run names it in its tag
            ``continues``; likewise if ``run_id`` is not in the store.
        tags: data digest, features and their hash, scale; git and DVC tags are added.
        run_id: what an earlier stage of this method recorded, if any.
    """
    run = Run(stage)
    run.attempt("tracking", lambda: run._start(method, params, tags or {}, run_id or None))
    return run


class Run:
    """A stage's part of a run; a context manager that closes it as finished, failed or killed."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._client: Any = None
        self._id: str | None = None
        self._off: set[str] = set()
        self.lost: list[str] = []
        """What the store did not take, as it was named in the line about it."""
        self._buffer: list[Any] = []
        self._flushed = self._began = time.monotonic()
        self._gauges = Gauges()

    @property
    def client(self) -> Any:
        """Return MLflow's client on this run's store; to be used inside ``attempt`` only."""
        return self._client

    @property
    def id(self) -> str | None:
        """Return the id for the stage's output; None if the store could not be used."""
        return self._id

    def metrics(self, values: Mapping[str, SupportsFloat], step: int) -> None:
        """Add one point to each curve; sent in batches, every few seconds.

        A value that is not finite is logged as NaN: MLflow turns infinity into 1.8e308, which
        would flatten the rest of the curve.
        """
        if self._client is None or "tracking" in self._off:
            return
        self._buffer += [_metric(name, value, step) for name, value in values.items()]
        due = time.monotonic() - self._flushed >= FLUSH_SECONDS
        if due or len(self._buffer) >= BATCH["metrics"]:
            self.flush()

    def flush(self) -> None:
        """Send the pending points, and the system metrics since the last call."""
        now, used = time.monotonic(), self._gauges.read(FLUSH_SECONDS)
        if self._client is not None:
            step = round(now - self._began)
            self._buffer += [_metric(f"system/{self._stage}.{k}", v, step) for k, v in used.items()]
        points, self._buffer = self._buffer, []
        self._flushed = now
        self.attempt("tracking", lambda: _send(self._client, self._id, "metrics", points))

    def summary(self, values: Mapping[str, SupportsFloat | None]) -> None:
        """Log final figures immediately; None is left out."""
        self.metrics({name: value for name, value in values.items() if value is not None}, 0)
        self.flush()

    def image(self, image: Image.Image | Tensor, key: str, step: int) -> None:
        """Log a sample picture: a PIL one, or (3, H, W) or (1, 3, H, W) in [0, 1]."""

        def send() -> None:
            picture = to_image(image) if isinstance(image, Tensor) else image
            self._client.log_image(self._id, picture, key=clean(key), step=step, synchronous=True)

        self.attempt("pictures and files", send)

    def inputs(self, inputs: Sequence[DataInput]) -> None:
        """Name the data sets of the run: MLflow's column *Dataset*; one it has is not repeated."""

        def send() -> None:
            entities = library().entities
            made = [
                entities.DatasetInput(
                    entities.Dataset(
                        one.name, one.digest, "local", json.dumps({"uri": one.source}),
                        profile=json.dumps({"pictures": one.count}),
                    ),
                    [entities.InputTag("mlflow.data.context", one.context)],
                )
                for one in inputs
            ]  # fmt: skip
            self._client.log_inputs(self._id, datasets=made)

        self.attempt("data sets", send)

    def artifact(self, path: Path | str, folder: str | None = None) -> None:
        """Copy a file into the run, below ``folder``."""
        send = self._client and self._client.log_artifact
        self.attempt("pictures and files", lambda: send(self._id, str(path), folder))

    def note(self, text: str) -> None:
        """Describe the run in Markdown: what MLflow shows above its figures."""
        self.attempt("tracking", lambda: self._client.set_tag(self._id, NOTE, text_of(text)))

    def close(self, status: str = "FINISHED") -> None:
        """Log the stage's time and peak memory and leave the run in ``status``."""
        cost = {"seconds": time.monotonic() - self._began, "peak_memory_mib": peak_memory_mib()}
        self.summary({f"{self._stage}.{name}": value for name, value in cost.items()})
        self.attempt("tracking", lambda: self._client.set_terminated(self._id, status))
        self._off.add("tracking")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.close("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")

    def attempt(self, what: str, call: Callable[[], T]) -> T | None:
        """Call the store; report the first failure, after which ``what`` is skipped.

        Returns:
            What ``call`` returned; None when it failed or was not called.
        """
        if self._client is not None and store_uri() in _dead and "tracking" not in self._off:
            self._give_up("tracking")  # another run of this process has found out, and told
        if self._off & {"tracking", what}:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecations inside MLflow are not the user's
                return call()
        except Exception as error:  # noqa: BLE001 — a failure of the store must not stop the work
            if what != "tracking" and not self._answers():
                what = "tracking"
            self._give_up(what)
            log.warning("MLflow: no %s from here on, the work continues: %s", what, brief(error))
            return None

    def _give_up(self, what: str) -> None:
        self._off.add(what)
        self.lost.append(what)
        if what == "tracking":
            _dead.add(store_uri())

    def _answers(self) -> bool:
        """Return whether the store still knows this run.

        Each call to a store that hangs takes its time limit, so nothing of another kind is tried.
        """
        try:
            return self._client is not None and bool(self._client.get_run(self._id))
        except Exception:  # noqa: BLE001 — whatever it is, the store is of no use
            return False

    def _start(
        self, method: str, params: Mapping[str, Any], tags: Mapping[str, Any], old: str | None
    ) -> None:
        uri = store_uri()
        if uri in _dead:
            self._give_up("tracking")
            return
        _dead.add(uri)  # until proven otherwise
        client, experiment = connect(uri)
        close_killed(client, experiment)
        flat = {clean(key): text_of(value) for key, value in flatten(params).items()}
        new = flat if old is None else _additions(client, old, flat)
        process = {PROCESS: identity()}  # first, so that no run is ever open without its process
        if old is not None and new is not None:
            _send(client, old, "tags", _entities("RunTag", process))
            client.update_run(old, status="RUNNING")
            run_id = old
        else:
            made = client.create_run(experiment, run_name=run_name(method), tags=process)
            run_id = made.info.run_id
            tags = tags if old is None else {**tags, "continues": old}
        tags = {"method": method, **context(self._stage), **tags}
        _send(client, run_id, "params", _entities("Param", flat if new is None else new))
        _send(client, run_id, "tags", _entities("RunTag", tags))
        self._client, self._id = client, run_id
        self._began = time.monotonic()
        _dead.discard(uri)


def close_killed(client: Any, experiment: str) -> None:
    """Close runs whose process was killed; they would stay open for ever."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000):
        if is_gone(run.data.tags.get(PROCESS)):
            client.set_terminated(run.info.run_id, "KILLED")


def report(client: Any, run: Any, figures: Mapping[str, float], tags: Mapping[str, str]) -> None:
    """Write figures and tags to a finished run; skip those it already has."""
    had, run_id = run.data.metrics, run.info.run_id
    points = [_metric(k, v, 0) for k, v in figures.items() if had.get(clean(k)) != v]
    _send(client, run_id, "metrics", points)
    _send(client, run_id, "tags", _entities("RunTag", tags))


def connect(uri: str) -> tuple[Any, str]:
    """Return client and experiment id; the first process creates the schema, others wait."""
    database = database_of(uri)
    if database is None:
        client = library().MlflowClient(uri)
        return client, _experiment(client, None).experiment_id
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=60):
        probe(database)
        client = library().MlflowClient(uri)
        artifacts = artifacts_uri(database)
        found = _experiment(client, artifacts)
        drop_stray_folders(uri)
        if not os.environ.get("MLFLOW_TRACKING_URI") and found.artifact_location != artifacts:
            follow_move(database, found.experiment_id, found.artifact_location, artifacts)
    return client, found.experiment_id


def library() -> Any:
    """Return MLflow with its messages off, imported on first use, as that takes a second."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # tracebacks; ``attempt`` logs
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a server's, per run
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    # MLflow's default of 7 tries of 120 s would delay a training when a server is gone.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each try
    import mlflow  # noqa: PLC0415

    return mlflow


def _experiment(client: Any, artifacts: str | None) -> Any:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        except library().MlflowException as error:
            # On a server, another process may have created it first.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(EXPERIMENT)
    elif found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found


def _additions(client: Any, run_id: str, params: dict[str, str]) -> dict[str, str] | None:
    """Return parameters to add to a run, or None if it is missing or has other values."""
    try:
        run = client.get_run(run_id)
    except library().MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise
    had = run.data.params
    if run.info.lifecycle_stage == "deleted" or any(
        had.get(key, value) != value for key, value in params.items()
    ):
        return None
    return {key: value for key, value in params.items() if key not in had}


def _send(client: Any, run_id: str | None, kind: str, items: list[Any]) -> None:
    for start in range(0, len(items), BATCH[kind]):
        part = items[start : start + BATCH[kind]]
        client.log_batch(run_id, **{kind: part}, synchronous=True)


def _entities(kind: str, values: Mapping[str, Any]) -> list[Any]:
    """Return ``Param`` or ``RunTag`` objects with keys and lengths that MLflow accepts."""
    make = getattr(library().entities, kind)
    return [make(clean(key), text_of(value)) for key, value in values.items() if value is not None]


def _metric(name: str, value: SupportsFloat, step: int) -> Any:
    number = float(value)
    number = number if math.isfinite(number) else math.nan
    return library().entities.Metric(clean(name), number, int(time.time() * 1000), step)
