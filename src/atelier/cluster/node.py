"""A method's stages on a node, in a checkout of its own: pull inputs, run, push results.

Independent of Ray; see ``ray_tasks``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from atelier.cluster.dvc import LOGS, Dvc, alone
from atelier.cluster.mirror import ADDRESS, Mirror
from atelier.cluster.node_facts import differences, git, node_facts
from atelier.cluster.periodic import every
from atelier.cluster.remote import LOCAL, Remote
from atelier.core.config import UserError
from atelier.core.files import read_record
from atelier.core.paths import Results
from atelier.core.process import dvc_at_work
from atelier.core.workers import ON_ONE_NODE
from atelier.reports.parameters import STAGES

WORKSPACES = Path(".checkpoints/cluster")
"""Folder of the methods' checkouts, in a node's own checkout; one that failed is kept."""
RWLOCK = Path(".dvc/tmp/rwlock")
"""DVC's list of files in use, which a killed one leaves."""
SECONDS = 1.0
"""Interval at which new lines of a log are passed on."""


@dataclass(frozen=True)
class Assignment:
    """A method to run on a node."""

    method: str
    head: dict[str, str]
    """``node_facts`` of the head; the node must have the same."""
    lock: str
    """Text of ``dvc.lock``, which identifies the inputs."""
    inputs: tuple[str, ...]
    """DVC's targets to pull."""
    remote: Remote
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables passed on from the head."""


@dataclass
class Outcome:
    """How it ended."""

    error: str = ""
    """A sentence, or "" if it succeeded."""
    records: dict[str, Any] = field(default_factory=dict)
    """Seconds, memory, device and run ids, which DVC does not carry; see ``core.records``."""
    status: dict[str, Any] = field(default_factory=dict)
    """Why a stage failed."""


class Reporter:
    """Callbacks for what happens on the node."""

    def __init__(self, step: Callable[[str], None], log: Callable[[str], None]) -> None:
        self.step = step
        """Called with the name of a step as it begins."""
        self.log = log
        """Called with new text of the step's log."""

    def following(self, path: Path) -> AbstractContextManager[None]:
        """Pass on what is appended to ``path``, which is emptied first."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        place = 0

        def pass_on() -> None:
            nonlocal place
            with suppress(FileNotFoundError), path.open("rb") as file:
                if path.stat().st_size < place:  # DVC was busy and is tried again
                    place = 0
                file.seek(place)
                if text := file.read():
                    place += len(text)
                    self.log(text.decode("utf-8", "replace"))

        return every(SECONDS, pass_on)


def run_method(assignment: Assignment, report: Reporter, node: str) -> Outcome:
    """Run a method's stages and push their results to the shared remote.

    Args:
        assignment: the method, and what the head knows.
        report: told of every step.
        node: name of this node, for messages.

    Raises:
        KeyboardInterrupt: it was cancelled; the running stage has saved.
    """
    be_interruptible()
    try:
        with checkout(assignment, node) as workspace:
            return _outcome(assignment, workspace, report)
    except UserError as failure:
        return Outcome(str(failure))


@contextmanager
def checkout(assignment: Assignment, node: str) -> Iterator[Path]:
    """Yield a checkout for the method on this node, in which nobody else works on it.

    Raises:
        UserError: the node ``node`` differs from the head, or no checkout could be made.
    """
    facts = node_facts()
    if found := differences(assignment.head, facts, node):
        raise UserError("; ".join(found))
    project = Path(facts["project"])
    with alone(assignment.method, Dvc(project)):
        try:
            workspace = _workspace(assignment, project)
        except (OSError, subprocess.CalledProcessError) as failure:
            raise UserError(f"{node}: no checkout could be made: {_reason(failure)}") from None
        yield workspace


def _outcome(assignment: Assignment, workspace: Path, report: Reporter) -> Outcome:
    """Run the stages; keep the workspace if one failed."""
    error, results = "", Results(workspace)
    try:
        _run(assignment, Dvc(workspace, None, environment(assignment, workspace)), report)
    except UserError as failure:
        error = str(failure)
    records, status = results.records(assignment.method), results.status(assignment.method)
    outcome = Outcome(error, read_record(records), read_record(status))
    if not error:
        shutil.rmtree(workspace, ignore_errors=True)
    return outcome


def be_interruptible() -> None:
    """Let Ctrl-C interrupt this task once, and ignore it from then on.

    Ray cancels a task as by Ctrl-C and repeats that until it has ended, which must not disturb what
    saves and copies meanwhile. A shell makes a node ignore Ctrl-C that it starts in the background,
    and Ray blocks the signal in all that it starts: DVC and its stages would inherit that.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _reason(failure: Exception) -> str:
    if isinstance(failure, subprocess.CalledProcessError):
        return str(failure.stderr).strip().rpartition("\n")[2]
    return str(failure)


def _run(assignment: Assignment, dvc: Dvc, report: Reporter) -> None:
    """Pull, train, push; then the other stages together, and push again.

    The training is pushed first, as a node may be lost at any time.

    Raises:
        UserError: a step failed.
    """

    def step(name: str, failing: str, *arguments: str) -> None:
        report.step(name)
        log = LOGS / f"{name}.log"
        with report.following(dvc.root / log):
            code = dvc.run(arguments, log)
        if code:
            raise UserError(failing)

    remote, address = assignment.remote, dvc.environment.get(ADDRESS)
    step("pull", f"inputs cannot be fetched from {remote}", "pull", *assignment.inputs)
    first, *others = (f"{stage}@{assignment.method}" for stage in STAGES)
    mirror = Mirror(address, dvc.root, assignment.method) if address else None
    if mirror:
        _fetch(mirror)
    with mirror.following() if mirror else nullcontext():
        for name, stages in (("train", [first]), ("stylize to evaluate", others)):
            step(name, f"{name} failed", "repro", "--pull", "--single-item", *stages)
            failing = f"results cannot be written to {remote}; they stay on the node"
            step("push", failing, "push", "--run-cache", *stages)


def fetch_inputs(assignment: Assignment, workspace: Path) -> None:
    """Pull the inputs of the method's training to its checkout.

    Raises:
        UserError: the remote cannot be read.
    """
    log = LOGS / "pull.log"
    dvc = Dvc(workspace, None, environment(assignment, workspace))
    if dvc.run(["pull", *assignment.inputs], log):
        raise UserError(f"inputs cannot be fetched from {assignment.remote}; see {workspace / log}")


def _fetch(mirror: Mirror) -> None:
    try:
        mirror.fetch()
    except Exception as error:  # noqa: BLE001 - each file system has errors of its own
        raise UserError(f"{ADDRESS}: {mirror.base} cannot be read: {error}") from None


def _workspace(assignment: Assignment, project: Path) -> Path:
    """Return the method's checkout on this node, at the head's commit and with its lock file."""
    folder = project / WORKSPACES / assignment.method
    while dvc_at_work(folder):  # of a task that was killed: it saves and ends
        time.sleep(SECONDS)
    if not (folder / ".git").is_dir():
        shutil.rmtree(folder, ignore_errors=True)  # an interrupted clone
        git(project, "clone", "-q", "--shared", "--no-checkout", str(project), str(folder))
    git(folder, "fetch", "-q", "origin", "HEAD")
    git(folder, "checkout", "-q", "--force", "--detach", assignment.head["commit"])
    (folder / RWLOCK).unlink(missing_ok=True)
    (folder / "dvc.lock").write_text(assignment.lock, encoding="utf-8")
    assignment.remote.write(folder, project / ".dvc/cache", project / LOCAL)
    return folder


def environment(assignment: Assignment, folder: Path) -> dict[str, str]:
    """Return variables with which stages run this Python on the code in ``folder``.

    ``DVC_ROOT`` names the node's own checkout, where runs go without a tracking server: it outlives
    a method's.
    """
    own = {key: value for key, value in os.environ.items() if key != "DVC_STAGE"}
    paths = [str(folder / "src"), os.environ.get("PYTHONPATH", "")]
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    within = folder.match(f"{WORKSPACES}/*")
    return {
        **own,
        ON_ONE_NODE: "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "DVC_ROOT": str(folder.parents[len(WORKSPACES.parts)] if within else folder),
        **assignment.environment,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PATH": os.pathsep.join(programs),
    }
