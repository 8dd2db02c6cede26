"""The README's commands exist and its tree names every file."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from atelier.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHOWN = ("src/atelier/", "stages/", "dashboard/", "docs/")


def tracked() -> list[str]:
    try:
        listing = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so there is no list of files to compare with")
    return listing.splitlines()


def test_the_tree_names_every_file() -> None:
    tree = README[README.index("## The tree") :]
    names = [name for name in tracked() if name.startswith(SHOWN) and not name.endswith("py.typed")]
    named = [Path(n).stem if "/assets/" in n else Path(n).name for n in names]
    missing = [name for name in named if name != "__init__.py" and name not in tree]
    assert names
    assert not missing


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = README + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(
        re.findall(
            r"`?make ([a-z-]+)", "\n".join(re.findall(r"(?:^|`)make [a-z-]+", text, re.MULTILINE))
        )
    )
    assert {"demo", "test"} <= named <= targets


def test_every_atelier_command_in_the_readme_exists() -> None:
    root = get_command(app)
    for words in re.findall(r"^atelier ([a-z -]+)", README, re.MULTILINE):
        command = root
        for word in words.split():
            children = getattr(command, "commands", None)
            if children is None or word not in children:
                assert children is None, f"atelier {words}: no {word!r}"
                break
            command = children[word]
