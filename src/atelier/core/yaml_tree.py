"""A strict reader of YAML: one document of mappings, lists and plain values, read as DVC reads it.

PyYAML follows YAML 1.1, where ``yes`` is true, ``1:30`` is 90 and ``1e-05`` is text; DVC writes and
reads 1.2. Here the values are those of 1.2. Anchors, aliases and merges are refused: DVC keeps one
object for all uses of an alias, so that ``dvc exp run -S`` changes several of them, or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from atelier.core.settings import UserError, printable, shown

LARGEST_FILE = 1_000_000
"""Bytes."""
DEEPEST = 12
"""Limit of nested blocks."""
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


def _int(text: str) -> int:
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _int,
    "float": _float,
    "str": str,
}


class _Refused(yaml.YAMLError):
    """A YAML feature that settings must not use."""


class _Loader(yaml.SafeLoader):
    """Composer of nodes; ``_Reader`` turns them into values."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise _Refused(
                f"line {line}: anchors and aliases (& and *) are not read, as `dvc exp run -S` "
                "changes all their places at once; write `extends: NAME` into the block"
            )
        if self.depth >= DEEPEST:
            raise _Refused(f"line {line}: blocks are nested more than {DEEPEST} deep")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.yaml_implicit_resolvers = {}  # those of YAML 1.1 are not inherited
for _kind, _pattern in _PLAIN.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(f"^(?:{_pattern})$"), None)


class _Reader:
    """Converter of nodes to values; all mistakes are collected, each with its path."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def value(self, node: Node, path: tuple[str, ...]) -> Any:
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, (*path, str(n))) for n, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self.scalar(node, path)
        return self.refuse(path, f"line {_line(node)}: {node.tag} is not read")

    def mapping(self, node: MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, below in node.value:
            name = self.key(key, path)
            if name is None:
                continue
            if name in found:
                self.refuse((*path, name), f"line {_line(key)}: stands twice in this block")
            found[name] = self.value(below, (*path, name))
        return found

    def key(self, node: Node, path: tuple[str, ...]) -> str | None:
        text = str(node.value) if isinstance(node, ScalarNode) else ""
        if text == "<<":
            why = "merges (<<) are not read; write `extends: NAME` into the block"
        elif node.tag != f"{_TAG}str" or not text.isprintable():
            why = f"{shown(node.value)} is not a name of a setting; names are text on one line"
        else:
            return text
        self.refuse(path, f"line {_line(node)}: {why}")
        return None

    def scalar(self, node: ScalarNode, path: tuple[str, ...]) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind not in _SCALARS:
            return self.refuse(path, f"line {_line(node)}: {node.tag} is not read")
        if kind in _PLAIN and not re.fullmatch(_PLAIN[kind], node.value):  # `!!bool maybe`
            return self.refuse(path, f"line {_line(node)}: {shown(node.value)} is no {kind}")
        try:
            return _SCALARS[kind](node.value)
        except ValueError as error:  # more digits than Python reads
            return self.refuse(path, f"line {_line(node)}: {error}")

    def refuse(self, path: tuple[str, ...], why: str) -> None:
        name = ".".join(path)
        self.problems.append(f"params.yaml: {name + ': ' if name else ''}{why}")


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def read_tree(path: Path) -> dict[str, Any]:
    """Return the contents of ``path``: a mapping to numbers, text, booleans, None, lists, mappings.

    Raises:
        UserError: no file, no YAML, not UTF-8, or an unsupported YAML feature; one line for each
            mistake.
    """
    return _without_problems(*read_all(path))


def parsed_tree(raw: bytes, path: Path) -> dict[str, Any]:
    """Return what ``read_tree`` does, of the contents ``raw``; ``path`` is for messages."""
    return _without_problems(*_parsed(raw, path))


def _without_problems(tree: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    if problems:
        raise UserError("\n".join(problems))
    return tree


def read_all(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the contents of ``path``, and a line for each setting in it that is not read.

    Raises:
        UserError: see ``read_tree``; nothing in the file can be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    return _parsed(raw, path)


def _parsed(raw: bytes, path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        if len(raw) > LARGEST_FILE:
            raise UserError(f"{path}: cannot be read: it has {len(raw)} bytes, no settings do")
        text = raw.decode("utf-8-sig")
        node = yaml.compose(text, _Loader)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from None
    reader = _Reader()
    tree = None if node is None else reader.value(node, ())
    if not isinstance(tree, dict):
        kind = "nothing" if tree is None else type(tree).__name__
        raise UserError(f"{path}: expected a mapping of settings, found {kind}")
    if not reader.problems:
        _read_as_dvc(path, text)
    return tree, reader.problems


def _read_as_dvc(path: Path, text: str) -> None:
    """Refuse what DVC's parser, which is stricter, does: {a: b:c} has to be {a: "b:c"}."""
    try:
        YAML(typ="safe").load(text)
    except Exception as error:  # noqa: BLE001 - its constructors raise many kinds
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = printable(" ".join(str(error).split()))  # PyYAML quotes the place
    return UserError(f"{path}: cannot be read: {reason}")
