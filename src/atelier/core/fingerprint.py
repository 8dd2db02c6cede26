"""Digests that tell whether two results come from the same code and settings."""

from __future__ import annotations

import ast
import hashlib
import json
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path, PurePath

PACKAGE = Path(__file__).parents[1]
OBSERVERS = ("tracking", "serving.registry")
"""Modules that only watch, report or record: no result depends on them."""
DATA = (".json", ".safetensors")
"""Suffixes of files beside the package's modules that results depend on: weights and cards."""
_BEFORE_A_STATEMENT = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_NO_CODE = (tokenize.COMMENT, tokenize.NL)


def stage_code(stage: str, system: str | None = None, root: Path = Path()) -> str:
    """Return a digest of the code that a stage's results depend on: all that its script imports.

    Args:
        stage: the stage of the script ``stages/<stage>.py``.
        system: the file in ``atelier/methods`` that the script imports by name, if any.
        root: the project's folder.
    """
    named = [] if system is None else [PACKAGE / "methods" / f"{system}.py"]
    return code_digest(closure(root / "stages" / f"{stage}.py", *named))


def code_digest(paths: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits over the code in files, without comments and docstrings.

    Files with the suffixes ``DATA`` beside them count byte for byte.
    """
    total, sources = hashlib.sha256(), sorted(paths)
    for path in sources:
        total.update(f"{path.name}\0{code_of(path)}\0".encode())
    for path in sorted(
        file for folder in {path.parent for path in sources} for file in _data(folder)
    ):
        total.update(f"{path.name}\0".encode() + path.read_bytes())
    return total.hexdigest()[:16]


def _data(folder: Path) -> list[Path]:
    inside = folder.is_relative_to(PACKAGE)
    return [path for path in folder.iterdir() if path.suffix in DATA] if inside else []


def closure(*starts: Path) -> frozenset[Path]:
    """Return ``starts`` and the package's files that they import, directly or not.

    Imports inside functions count, too; ``OBSERVERS`` and what only they import do not.
    """
    todo, seen = list(starts), set[Path]()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += imported_files(path)
    return frozenset(seen)


@cache
def imported_files(path: Path) -> tuple[Path, ...]:
    """Return the package's files whose modules a file imports by name."""
    return tuple(file for name in _imported(path) if (file := _file(name)))


def code_of(path: Path) -> str:
    """Return the text of a file without comments, docstrings and blank lines.

    They are cut out of the text, so that all versions of Python return the same.
    """
    return _code(path.read_text(encoding="utf-8"))


@cache
def _code(text: str) -> str:
    lines = [*text.splitlines(), ""]
    for (top, left), (bottom, right) in reversed(list(_without_effect(text))):
        rest = lines[bottom - 1][right:]
        lines[top - 1 : bottom] = [lines[top - 1][:left] + rest]
    return "\n".join(line for line in map(str.rstrip, lines) if line)


Span = tuple[tuple[int, int], tuple[int, int]]


def _without_effect(text: str) -> Iterator[Span]:
    """Yield the spans of comments and of strings that are a statement of their own."""
    tokens = list(tokenize.generate_tokens(StringIO(text).readline))
    code = [token for token in tokens if token.type not in _NO_CODE]
    alone = {
        string.start
        for before, string, after in zip([None, *code], code, code[1:], strict=False)
        if string.type == tokenize.STRING
        and (before is None or before.type in _BEFORE_A_STATEMENT)
        and after.type == tokenize.NEWLINE
    }
    for token in tokens:
        if token.type == tokenize.COMMENT or token.start in alone:
            yield token.start, token.end


def _imported(path: Path) -> tuple[str, ...]:
    """Return the dotted names below the package that a file imports: modules, also objects."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    prefix = f"{PACKAGE.name}."
    inside = [name.removeprefix(prefix) for name in found if name.startswith(prefix)]
    watched = [name for name in inside if not name.startswith(OBSERVERS)]
    packages = [str(one) for name in watched for one in PurePath(name.replace(".", "/")).parents]
    return tuple(sorted({*watched, *(one.replace("/", ".") for one in packages if one != ".")}))


def _file(module: str) -> Path | None:
    """Return the module's file; None for the name of an object."""
    path = PACKAGE.joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def settings_digest(settings: object, module: str) -> str:
    """Return 16 hexadecimal digits over ``settings`` and the source of ``module``.

    ``module`` is located without being imported, as its imports may take seconds; one that does not
    exist counts as empty, so that a misspelt name still has a digest.
    """
    text = json.dumps(settings, sort_keys=True, default=str).encode()
    return hashlib.sha256(text + _source(module)).hexdigest()[:16]


def _source(module: str) -> bytes:
    try:
        found = find_spec(module)
    except (ImportError, ValueError):  # a missing parent, or an empty name
        return b""
    return Path(found.origin).read_bytes() if found and found.origin else b""
