"""Methods over the nodes of a cluster, from the head's side.

The head prepares what all methods need and pushes it; nodes do the rest; the head restores their
results from the shared remote without computing anything, and compares.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.cluster import ray_tasks
from atelier.cluster.dvc import LOGS, Dvc, alone, prepare, stale_methods, targets
from atelier.cluster.mirror import ADDRESS, Mirror
from atelier.cluster.node import Assignment, Outcome
from atelier.cluster.node_facts import differences, git, node_facts
from atelier.cluster.remote import Remote, shared_remote
from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.core.paths import Results
from atelier.core.zoo_files import TRACKED, warm_entry
from atelier.reports.tables import aligned
from atelier.tracking.stage import RESTORE_ONLY

INPUTS = ("settings", "prepare", "reference", "pretrained")
"""Stages whose outputs the methods' stages read: ``dvc.SHARED``, and what they depend on."""
COMMITTED = ("params.yaml", "dvc.yaml", "data.dvc", TRACKED, "src", "stages", ".dvc/config")
"""Files that nodes take from the commit."""
TRACKING = "MLFLOW_TRACKING_URI"
PASSED_ON = (TRACKING, ADDRESS)


@dataclass
class Row:
    """State of a method, for the table."""

    node: str = "-"
    attempts: int = 0
    state: str = "waits"
    began: float = 0.0
    seconds: float = 0.0

    def begin(self, node: str) -> str:
        """Note that it has begun on ``node``; return how to say so."""
        lost, self.node, self.began = self.node, node, time.monotonic()
        self.attempts += 1
        return f"on {node}" if self.attempts == 1 else f"again, on {node} (was lost on {lost})"

    def time(self) -> float:
        """Return the seconds it took, or has taken so far."""
        return self.seconds or (time.monotonic() - self.began if self.began else 0.0)


class RayFanOut:
    """Methods on the cluster that this process is connected to."""

    def __init__(self, names: Sequence[str], params: Params, root: Path) -> None:
        self.rows = {name: Row() for name in names}
        self.params, self.root, self.dvc = params, root, Dvc(root)
        self.failed: list[str] = []

    def run(self) -> Generator[str]:
        """Run the shared stages here, every method on a node, and the comparison here.

        Yield lines; an empty one where only the table has changed.

        Raises:
            UserError: a node differs, there is no shared remote, something is not committed, or a
                shared stage failed.
            KeyboardInterrupt: Ctrl-C; no further method starts, running ones have saved.
        """
        head = head_facts(self.root)
        remote, needs = shared_remote(self.dvc), self._needs()
        _check_environment(self.root)
        _refuse_others(head, ray_tasks.facts_of_nodes())
        with alone("shared", self.dvc):
            prepare(self.dvc)
            stale = stale_methods(self.dvc, list(self.rows))
            for name in set(self.rows) - stale:
                self.rows[name].state = "up to date"
                yield f"{name}: is up to date"
            if stale:
                push_inputs(self.dvc, remote)
        if not os.environ.get(TRACKING):
            yield f"note: {TRACKING} is not set: each node keeps its own runs"
        if stale:
            yield from self._follow(self._assignments(stale, head, remote), needs)
        self._compare()

    def _needs(self) -> dict[str, float]:
        return ray_tasks.resources(self.params.devices, self.params.nodes)

    def _assignments(
        self, names: set[str], head: dict[str, str], remote: Remote
    ) -> dict[str, Assignment]:
        found = {}
        for name in (name for name in self.rows if name in names):
            found[name] = assignment(name, self.params, self.root, head, remote)
            (self.root / _log(name)).unlink(missing_ok=True)
        return found

    def _follow(
        self, assignments: Mapping[str, Assignment], needs: Mapping[str, float]
    ) -> Iterator[str]:
        for event in ray_tasks.run_methods(assignments, needs, self.params.nodes):
            if event is None:
                yield ""
            elif isinstance(event, ray_tasks.End):
                row = self.rows[event.method]
                row.seconds = row.time()
                yield f"{event.method}: {self._end(event.method, event.outcome)}"
            else:
                yield self._take(event)

    def _take(self, report: ray_tasks.Report) -> str:
        """Take in a report; return a line about it, or ""."""
        row = self.rows[report.method]
        if report.kind == "begin":
            return f"{report.method}: {row.begin(report.node)}"
        if report.kind == "step":
            row.state = report.text
            return f"{report.method}: {report.text}"
        with (self.root / _log(report.method)).open("a", encoding="utf-8") as file:
            file.write(report.text)
        return ""

    def _end(self, name: str, outcome: Outcome) -> str:
        """Take in a method's outcome; return how it ended."""
        row, error = self.rows[name], outcome.error
        _write_record(Results(self.root).status(name), outcome.status if error else {})
        error = error or self._restore(name, outcome)
        row.state = "failed" if error else "done"
        if error:
            self.failed.append(name)
        ended = f"{error}, see {_log(name)}" if error else "done"
        return f"{ended} ({row.seconds:.0f} s)"

    def _restore(self, name: str, outcome: Outcome) -> str:
        """Restore a method's results and records; return why that failed, or ""."""
        log = LOGS / f"restore-{name}.log"
        arguments = ["repro", "--pull", "--single-item", *targets(name)]
        with alone(name, self.dvc):
            if self.dvc.run(arguments, log, {RESTORE_ONLY: "1"}):
                return f"its results are not in the shared remote ({log})"
        _write_record(Results(self.root).records(name), outcome.records)
        return ""

    def _compare(self) -> None:
        if self.dvc.run(["repro", "--single-item", "compare"], LOGS / "compare.log"):
            raise UserError(f"the comparison failed; see {LOGS / 'compare.log'}")

    def table(self) -> str:
        """Return the table of what runs where."""
        head = ["method", "node", "state", "attempts", "seconds"]
        cells = [
            [name, row.node, row.state, str(row.attempts), f"{row.time():.0f}"]
            for name, row in self.rows.items()
        ]
        return aligned(head, cells, right={"attempts", "seconds"})


def _log(name: str) -> Path:
    return LOGS / f"{name}.log"


def _write_record(path: Path, record: Mapping[str, object]) -> None:
    if record:
        write_json(path, record)
    else:
        path.unlink(missing_ok=True)


def assignment(
    name: str, params: Params, root: Path, head: dict[str, str], remote: Remote
) -> Assignment:
    """Return what a node is told to work on a method.

    Args:
        name: the method.
        params: the settings.
        root: the project.
        head: ``head_facts``.
        remote: the shared remote.
    """
    lock = (root / "dvc.lock").read_text(encoding="utf-8")
    zoo = (TRACKED,) if warm_entry(params.method(name), name) else ()
    passed = {key: os.environ[key] for key in PASSED_ON if os.environ.get(key)}
    return Assignment(name, head, lock, (*INPUTS, *zoo), remote, passed)


def push_inputs(dvc: Dvc, remote: Remote) -> None:
    """Push the inputs of all methods.

    Raises:
        UserError: the remote cannot be written to.
    """
    log, zoo = LOGS / "push.log", [TRACKED] if (dvc.root / TRACKED).is_file() else []
    if dvc.run(["push", *INPUTS, *zoo], log):
        raise UserError(f"{remote} cannot be written to; see {log}")


def head_facts(root: Path) -> dict[str, str]:
    """Return the facts that nodes must share.

    Raises:
        UserError: something that decides the results is not committed: nodes would not have it.
    """
    try:
        status = git(root, "status", "--porcelain", "--", *COMMITTED)
        commit = git(root, "rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        raise UserError(f"{root}: has no commit; nodes work in a checkout of the same") from None
    if changed := [line[3:] for line in status.splitlines()]:
        raise UserError(f"commit first, nodes work on a commit: {', '.join(changed)}")
    return {**node_facts(), "project": str(root), "commit": commit}


def _check_environment(root: Path) -> None:
    if address := os.environ.get(ADDRESS):
        Mirror(address, root, "")


def _refuse_others(head: dict[str, str], nodes: Mapping[str, dict[str, str]]) -> None:
    found = [line for name, node in nodes.items() for line in differences(head, node, name)]
    if found:
        raise UserError("\n".join(found))
