"""Provenance of a run: commit, DVC stage and experiment; independent of any tracker."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from atelier.core.config import UserError, project_root
from atelier.core.paths import RESULTS


def run_name(method: str) -> str:
    """Return ``method`` and the name of the DVC experiment, or the date and time."""
    now = datetime.now(UTC).astimezone()
    return f"{method} {os.environ.get('DVC_EXP_NAME') or now.strftime('%Y-%m-%d %H:%M:%S')}"


def context(stage: str) -> dict[str, str]:
    """Return tags of this process: commit, dirty flag, DVC stage and experiment.

    The stages of a run can be from different commits, so each has its own pair of git tags; the
    plain pair is that of the last one.
    """
    git = git_tags()
    own = {f"{stage}.{key}": value for key, value in git.items()}
    dvc = {key: os.environ[key] for key in ("DVC_STAGE", "DVC_EXP_NAME") if os.environ.get(key)}
    plain = {"mlflow.source.git.commit": git["git.commit"]} if git else {}
    return {**git, **own, **plain, **dvc}


def git_tags() -> dict[str, str]:
    """Return ``git.commit`` and ``git.dirty``; {} outside a repository.

    dvc.lock and results/ do not count: ``dvc repro`` itself rewrites them between the stages.
    """
    try:
        ours = (".", ":!dvc.lock", f":!{RESULTS}")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *ours)
        return {"git.commit": _git("rev-parse", "HEAD"), "git.dirty": str(bool(changed)).lower()}
    except (OSError, subprocess.SubprocessError, UserError):
        return {}


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(  # noqa: S603 — fixed words, no shell
        command, cwd=project_root(), capture_output=True, text=True, check=True, timeout=20
    )
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
