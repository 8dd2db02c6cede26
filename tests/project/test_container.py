"""Dockerfile and dev container, read without Docker: what they name exists, and stages resolve."""

from __future__ import annotations

import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = {"FROM", "RUN", "USER", "WORKDIR", "COPY", "ENV", "EXPOSE", "CMD"}
DEV = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of every instruction; continued lines are one."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    found = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name, " ".join(rest.split())) for name, rest in found]


def stages() -> dict[str, str]:
    """Stage → what it is from; that of the image is ""."""
    froms = [rest.split() for name, rest in instructions() if name == "FROM"]
    return {words[2] if len(words) == 3 else "": words[0] for words in froms}


def ignored(name: str) -> bool:
    """Whether .dockerignore keeps a file out: the last pattern that matches it or its folder."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    parts, out = Path(name).parts, False
    for line in lines:
        pattern = line.removeprefix("!").removeprefix("**/")
        deep = "**/" in line
        paths = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        candidates = [*paths, *parts] if deep else paths
        if line and not line.startswith("#") and any(fnmatch(p, pattern) and
                p.count("/") == pattern.count("/") for p in candidates):  # fmt: skip
            out = not line.startswith("!")
    return out


def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(VENV)", ".venv")
    return set(re.findall(r"^([\w./-]+):", text, re.MULTILINE))


def test_it_is_made_of_known_instructions() -> None:
    assert {name for name, _ in instructions()} == INSTRUCTIONS


def test_the_image_is_the_last_stage_on_the_one_they_share() -> None:
    assert stages()[""] == "base"
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", stages()["base"])


def test_packages_are_those_of_the_lock_file_by_their_hashes() -> None:
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert len(installs) == 1
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "index" not in installs[0]


def test_what_they_make_is_in_the_makefile() -> None:
    made = [re.findall(r"make (\S+)|\"make\", \"(\w+)\"", rest) for _, rest in instructions()]
    names = {one or other for found in made for one, other in found} - {"&&"}
    assert names == {".venv/.installed", "demo"}
    after = DEV["postCreateCommand"].removeprefix("make ")
    assert {*names, after} <= targets()


def test_the_image_has_every_tracked_file_and_nothing_else() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.splitlines() if ignored(name)] == []
    for name in (
        "data/photos/a.png", "zoo/adain/card.json", ".venv/bin/python", ".dvc/cache/files/a",
        "results/models/adain/card.json", "results/comparison/grid.png", "mlflow.db-wal",
        "src/atelier/__pycache__/a.pyc", ".streamlit/secrets.toml", ".dvc/config.local",
    ):  # fmt: skip
        assert ignored(name), name
    assert not ignored(".git/HEAD"), "DVC needs the repository"


def test_the_dev_container_is_a_stage_of_it() -> None:
    build, here = DEV["build"], ROOT / ".devcontainer"
    assert (here / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (here / build["context"]).resolve() == ROOT
    assert build["target"] in stages()
    assert ("USER", DEV["remoteUser"]) in instructions()
    assert ("EXPOSE", str(DEV["forwardPorts"][0])) in instructions()
