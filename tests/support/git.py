"""Repositories of git beside a test."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """Return what git prints in ``root``, as somebody with a name."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path) -> str:
    """Commit all files; return the commit."""
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "state")
    return git(root, "rev-parse", "HEAD")


def keep_experiment(root: Path, base: str, name: str) -> None:
    """Keep the files as DVC keeps an experiment from ``base``, and go back to that."""
    made = commit(root)
    git(root, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", made)
    git(root, "reset", "-q", "--hard", base)
