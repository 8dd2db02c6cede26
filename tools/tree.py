"""Draw the import layers and the repository's tree into ``docs/architecture.md``; ``make tree``.

    python -m tools.tree

The layers are those of the contract in ``pyproject.toml``. A Python file is described by the first
line of its docstring, a page of the documentation by its heading, everything else by an entry of
``NOTES``.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from atelier.core.config import UserError
from atelier.core.files import atomic

ROOT = Path(__file__).parents[1]
PAGE = Path("docs/architecture.md")
TOP = PurePosixPath()
WIDTH = 34
"""Column of the descriptions."""
INNER = 58
"""Characters between the outer borders of the layers."""

NOTES = {
    ".ci": "continuous integration",
    ".ci/run": "What CI runs: the demonstration twice, the checks and the tests in a fresh clone",
    ".dvc": "DVC's own settings",
    ".dvc/.gitignore": "DVC's cache and private settings stay out of git",
    ".dvc/config": "The sample's remote, `.sample`; no analytics",
    ".devcontainer": "dev container",
    ".devcontainer/devcontainer.json": "Editor's container: Dockerfile's first stage, and `make`",
    ".dockerignore": "Files that stay out of the container's image",
    ".dvcignore": "Files that DVC ignores",
    ".github": "GitHub",
    ".github/workflows": "GitHub Actions",
    ".github/workflows/ci.yml": "Call `.ci/run` for every push and pull request",
    ".gitignore": "Files that git ignores",
    ".pre-commit-config.yaml": "`make check` before every commit",
    ".sample": "data of the embedded sample: a DVC remote in the repository",
    ".streamlit": "Streamlit",
    ".streamlit/config.toml": "The dashboard's colours and address; no analytics",
    "CHANGELOG.md": "What changed for users, by version",
    "CONTRIBUTING.md": "How to add a method or a metric; house rules",
    "Dockerfile": "The bench in a container, for a CPU or a GPU",
    "LICENSE": "MIT",
    "Makefile": "demo, test, check, docs, repro, train-all, dashboard, ui",
    "README.md": "Pitch, results of the sample, the first commands",
    "benchmarks": "measurements too long for tests; results in docs/log.md",
    "dashboard": "the Streamlit application",
    "dashboard/parts/assets": "HTML, CSS and JavaScript of the components; the page's style",
    "dashboard/views": "one file per page",
    "data.dvc": "The raw pictures, as DVC tracks them",
    "zoo.dvc": "The trained weights that ship, as DVC tracks them",
    "docs": "this documentation",
    "docs/api": "API pages, filled by mkdocstrings",
    "docs/changelog.md": "The site's page of CHANGELOG.md",
    "docs/contributing.md": "The site's page of CONTRIBUTING.md",
    "docs/figures": "figures and their numbers",
    "docs/figures/growth.json": "Numbers of the figure",
    "docs/figures/growth.png": "Growth of time and memory with the size of a task",
    "docs/figures/small_sets.json": "Numbers of the figure",
    "docs/figures/small_sets.png": "Effect of the number of pictures on a Fréchet distance",
    "docs/figures/trainings.json": "Numbers of the figure",
    "docs/figures/trainings.png": "Scores of the zoo's entries after each phase, and losses",
    "docs/figures/ways.svg": "Data flow of a picture and of a setting through the code",
    "docs/grid.webp": "The README's picture; updated by `make grid`",
    "docs/tables.css": "Style of the site's tables",
    "dvc.lock": "State of DVC's last runs: hashes of all inputs and outputs",
    "dvc.yaml": "The DAG: prepare → train@m → stylize@m → evaluate@m → compare; denoise@m beside",
    "mkdocs.yml": "The documentation site; `make docs` builds it",
    "models": "models as DVC artifacts",
    "models/dvc.yaml": "Models as DVC artifacts: one line per trained method",
    "params.yaml": "Every setting: one block per step and per method, and one per scale",
    "pyproject.toml": "Dependencies, linters, types, the import contract",
    "requirements-dev.lock": "Packages of the tests and linters, with hashes",
    "requirements.lock": "Packages of the bench, with hashes",
    "results": "everything generated; git has the comparison's numbers only",
    "src": "the package",
    "src/atelier/datasets/synthetic/photographs": "Real photographs of the sample, and credits",
    "src/atelier/datasets/synthetic/photographs/real_astronaut.jpg": "A person",
    "src/atelier/datasets/synthetic/photographs/real_cameraman.jpg": "A person with a camera, grey",
    "src/atelier/datasets/synthetic/photographs/real_cat.jpg": "An animal",
    "src/atelier/datasets/synthetic/photographs/real_coffee.jpg": "A still life",
    "src/atelier/datasets/synthetic/photographs/real_pagoda.jpg": "A building",
    "src/atelier/datasets/synthetic/photographs/real_rocket.jpg": "A rocket in a landscape",
    "src/atelier/reports/document.html": "The page of `atelier report`, to be filled in",
    "src/atelier/nn/pretrained/mini.json": "Card of `mini`: teacher, settings, figures",
    "src/atelier/nn/pretrained/mini.safetensors": "Weights of `mini`, 3.0 MB",
    "src/atelier/py.typed": "The package is typed",
    "stages": "one thin script per step of the DAG",
    "tests": "mirrors src/atelier; helpers in support/, fixtures in conftest.py",
    "tools": "programs that maintain the repository; not installed",
}
ONE_EACH = {
    "src/atelier/methods": ("METHOD", "<class>.py", "One system per file: the table in README.md"),
    "src/atelier/metrics": ("MEASURE", "<metric>.py", "One metric per file: `catalogue.py`"),
}
"""Folders of which files that define a name (the first) have one line in common: a system or a
metric is added without a change of the tree."""
CLOSED = frozenset({".sample", "results", "dashboard/parts/assets", "tests"})
"""Folders whose files are not listed; the tests mirror those of the package."""


def tracked(root: Path = ROOT) -> list[PurePosixPath]:
    """Return the existing files tracked by git.

    Raises:
        UserError: ``root`` is not a git checkout.
    """
    command = ["git", "ls-files"]
    try:
        listing = subprocess.check_output(command, cwd=root, text=True)  # noqa: S603 - a constant
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{root}: no git checkout, so there is no list of files") from error
    return [PurePosixPath(name) for name in listing.splitlines() if (root / name).is_file()]


def describe(path: PurePosixPath, root: Path = ROOT) -> str:
    """Return the description of a file or folder; that of a package is its docstring's.

    Raises:
        UserError: there is none.
    """
    if note := NOTES.get(str(path)):
        return note
    file = root / path
    if file.is_dir():
        file /= "__init__.py"
    if file.suffix == ".py" and file.is_file():
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    elif file.suffix == ".md":
        text = file.read_text(encoding="utf-8").lstrip("# ")
    else:
        text = ""
    if line := text.partition("\n")[0].rstrip("."):
        return line
    raise UserError(f"tools/tree.py: NOTES: no line says what {path} is")


def lines(
    files: Iterable[PurePosixPath], root: Path = ROOT, folder: PurePosixPath = TOP
) -> Iterator[str]:
    """Yield the lines of the tree below ``folder``: its files, then its folders, sorted."""
    inside = [path for path in files if folder in path.parents]
    here = sorted(p for p in inside if p.parent == folder and p.name != "__init__.py")
    alike = {path for path in here if _is_one_of_many(path, root)}
    for path in here:
        if path not in alike:
            yield _line(path, path.name, root)
    if alike:
        _, name, note = ONE_EACH[str(folder)]
        yield _row(folder / name, name, note)
    below = sorted({p.parents[-len(folder.parts) - 2] for p in inside if p.parent != folder})
    for path in below:
        yield _line(path, f"{path.name}/", root)
        if str(path) not in CLOSED:
            yield from lines(inside, root, path)


def _is_one_of_many(path: PurePosixPath, root: Path) -> bool:
    mark, *_ = ONE_EACH.get(str(path.parent), ("",))
    text = (root / path).read_text(encoding="utf-8") if mark else ""
    return bool(mark) and re.search(rf"^{mark} = ", text, re.MULTILINE) is not None


def _line(path: PurePosixPath, name: str, root: Path) -> str:
    return _row(path, name, describe(path, root))


def _row(path: PurePosixPath, name: str, note: str) -> str:
    indented = "  " * (len(path.parts) - 1) + name
    return f"{indented:<{WIDTH}} {note}"


def contract(root: Path = ROOT) -> list[list[str]]:
    """Return the rows of packages in the layered import contract, top first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (rows,) = (one["layers"] for one in contracts if one["type"] == "layers")
    return [[name.strip() for name in row.split("|")] for row in rows]


def layers(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a drawing of ``rows``, with the packages of a row side by side."""
    yield "┌" + "─" * INNER + "┐"
    for number, names in enumerate(rows):
        if number:
            yield "├" + "─" * INNER + "┤"
        space = INNER - len(names) + 1
        widths = [space // len(names) + (n < space % len(names)) for n in range(len(names))]
        yield "│" + "│".join(f"{n:^{w}}" for n, w in zip(names, widths, strict=True)) + "│"
    yield "└" + "─" * INNER + "┘"


def drawn(page: str, name: str, rows: Iterable[str]) -> str:
    """Return ``page`` with the lines between the markers called ``name``.

    Raises:
        UserError: the markers are missing.
    """
    begin, end = f"<!-- {name}: begin (make tree) -->\n```text\n", f"```\n<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"{PAGE}: the marks of {name!r} are missing")
    text = "".join(f"{row}\n" for row in rows)
    return f"{before}{begin}{text}{end}{after}"


def main(root: Path = ROOT) -> str:
    """Return the updated page."""
    page = (root / PAGE).read_text(encoding="utf-8")
    page = drawn(page, "layers", layers(contract(root)))
    return drawn(page, "tree", lines(tracked(root), root))


def renew(path: Path, make: Callable[[], str]) -> None:
    """Write what ``make`` returns into ``path``; end with the reason if it cannot."""
    try:
        text = make()
    except UserError as error:
        sys.exit(str(error))
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    renew(ROOT / PAGE, main)
