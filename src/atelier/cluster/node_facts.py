"""Checkout and package versions of a node, with the standard library alone.

Ray sends the source of this module to the nodes, so that one without the package, or with another
version of it, can report that.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
from contextlib import suppress
from pathlib import Path

PROJECT = "ATELIER_PROJECT"
"""Environment variable for a node's checkout; default: where its package is installed from."""
VERSIONS = ("torch", "dvc")


def node_facts() -> dict[str, str]:
    """Return checkout, commit, digest of the package, and versions; "" for what is missing."""
    project, package = checkout(), _package()
    return {
        "project": str(project or ""),
        "commit": _commit(project) if project else "",
        "atelier": _digest(package) if package else "",
        **{name: _version(name) for name in VERSIONS},
    }


def checkout() -> Path | None:
    """Return the node's checkout, or None."""
    named, package = os.environ.get(PROJECT), _package()
    folder = Path(named) if named else package.parents[1] if package else None
    return folder.resolve() if folder and (folder / "dvc.yaml").is_file() else None


def _package() -> Path | None:
    found = importlib.util.find_spec("atelier")
    return Path(found.origin).parent if found and found.origin else None


def _digest(package: Path) -> str:
    """Return 12 hexadecimal digits over the source: a version number alone says too little."""
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        total.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def _version(name: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return ""


def _commit(project: Path) -> str:
    with suppress(OSError, subprocess.CalledProcessError):
        return git(project, "rev-parse", "HEAD")
    return ""


def git(project: Path, *arguments: str) -> str:
    """Return the output of git.

    Raises:
        OSError: git is not installed.
        subprocess.CalledProcessError: git failed; the reason is in ``stderr``.
    """
    command = ["git", "--no-optional-locks", "-C", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip("\n")


def differences(head: dict[str, str], node: dict[str, str], name: str) -> list[str]:
    """Return a sentence for each fact of the node ``name`` that differs from the head's."""
    if not node["project"]:
        return [f"{name}: has no checkout of this project; clone it there and name it in {PROJECT}"]
    found = other_versions(head, node, name)
    if node["commit"] != head["commit"]:
        found.append(
            f"{name}: its checkout {node['project']} is at commit {node['commit'][:12] or '?'}, "
            f"this one at {head['commit'][:12]}; check out the same there"
        )
    return found


def other_versions(head: dict[str, str], node: dict[str, str], name: str) -> list[str]:
    """Return a sentence for each package of the node ``name`` in another version."""
    return [
        f"{name}: has another version of {package} ({node[package] or 'none'}, here "
        f"{head[package]}); install the same there"
        for package in ("atelier", *VERSIONS)
        if node[package] != head[package]
    ]
