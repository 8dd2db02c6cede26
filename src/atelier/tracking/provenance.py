"""Provenance of a run: commit, DVC stage and experiment; independent of any tracker."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atelier.core.config import UserError, project_root
from atelier.core.paths import RESULTS


def run_name(method: str) -> str:
    """Return ``method`` and the name of the DVC experiment, or the date and time."""
    now = datetime.now(UTC).astimezone()
    return f"{method} {os.environ.get('DVC_EXP_NAME') or now.strftime('%Y-%m-%d %H:%M:%S')}"


def context(stage: str) -> dict[str, str]:
    """Return tags of this process: script, commit, dirty flag, DVC stage and experiment.

    The stages of a run can be from different commits, so each has its own pair of git tags; the
    plain pair is that of the last one.
    """
    git = git_tags()
    own = {f"{stage}.{key}": value for key, value in git.items()}
    dvc = {key: os.environ[key] for key in ("DVC_STAGE", "DVC_EXP_NAME") if os.environ.get(key)}
    # MLflow's columns *Source* and *Version* read these.
    plain = {"mlflow.source.type": "LOCAL", "mlflow.source.name": f"stages/{stage}.py"}
    if git:
        plain["mlflow.source.git.commit"] = git["git.commit"]
    return {**git, **own, **plain, **dvc}


def git_tags() -> dict[str, str]:
    """Return ``git.commit`` and ``git.dirty``; {} outside a repository.

    dvc.lock and results/ do not count: ``dvc repro`` itself rewrites them between the stages.
    """
    try:
        ours = (".", ":!dvc.lock", f":!{RESULTS}")
        root = project_root()
        changed = git(root, "status", "--porcelain", "--untracked-files=no", "--", *ours)
        return {
            "git.commit": git(root, "rev-parse", "HEAD"),
            "git.dirty": str(bool(changed)).lower(),
        }
    except (OSError, subprocess.SubprocessError, UserError):
        return {}


def git(root: Path, *arguments: str) -> str:
    """Return what git prints in ``root``, without the white space around it.

    Raises:
        OSError: there is no git.
        subprocess.SubprocessError: it failed, or took longer than 20 s.
    """
    command = ["git", "--no-optional-locks", *arguments]  # a person may commit meanwhile
    done = subprocess.run(  # noqa: S603 — no shell
        command, cwd=root, capture_output=True, text=True, check=True, timeout=20,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    return done.stdout.strip()


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{"a": {"b": 1}}`` as ``{"a.b": 1}``; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
