"""``extends`` in ``params.yaml``: a block inherits the settings of another of its level.

``methods.a: {extends: b}`` lets the settings of ``methods.a`` override those of ``methods.b``, and
``scales.S.a: {extends: b}`` those of ``scales.S.a`` override those of ``scales.S.b``; an extended
block may itself extend another. The two levels are then merged and must share no setting, so that
no value depends on an order of precedence between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.core.settings import UserError, nearest

EXTENDS = "extends"
CLASS, SEED = "class", "seed"
"""What an entry may have beside its class's settings: that class, and a seed of its own."""
Blocks = Mapping[str, Any]
"""Name → block, for one level."""


def class_settings(block: Blocks) -> dict[str, Any]:
    """Return a block without ``CLASS`` and ``SEED``: the settings that its class knows."""
    return {key: value for key, value in block.items() if key not in {CLASS, SEED}}


def repeated(methods: Blocks, scaled: Blocks, name: str) -> str:
    """Return the entry that ``name`` repeats with another seed, or ``name`` itself.

    A repetition is an entry ``{class, extends, seed}`` without a block in the scale: it has that of
    the entry it extends, and differs by the seed alone.

    Args:
        methods: all entries.
        scaled: blocks of the scale in force.
        name: an entry.
    """
    seen = [name]
    while seen[-1] not in scaled:
        block = methods.get(seen[-1])
        parent = block.get(EXTENDS) if isinstance(block, dict) else None
        if parent in seen or parent not in methods or set(block or {}) != {CLASS, EXTENDS, SEED}:
            return name
        seen.append(str(parent))
    return seen[-1]


def chain(blocks: Blocks, name: str, where: str) -> list[str]:
    """Return ``name`` and the blocks it extends, nearest first.

    Args:
        blocks: all blocks of the level.
        name: one of them.
        where: the level, such as ``scales.demo``, for messages.

    Raises:
        UserError: a block that does not exist, or a cycle of blocks.
    """
    found = [name]
    while (parent := (blocks[found[-1]] or {}).get(EXTENDS)) is not None:
        path = f"params.yaml: {where}.{found[-1]}.{EXTENDS}"
        if not isinstance(parent, str):
            raise UserError(f"{path}: has to be the name of another block of {where}")
        if parent not in blocks:
            raise UserError(f"{path}: {where} has no block {parent!r}{nearest(parent, blocks)}")
        if parent in found:
            raise UserError(f"{path}: {' → '.join([*found, parent])}: a block extends itself")
        if not isinstance(blocks[parent] or {}, dict):
            raise UserError(f"{path}: {where}.{parent} is not a block of settings")
        found.append(parent)
    return found


def resolved(blocks: Blocks, name: str, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings of a block with those it inherits, and the block each is set in.

    Raises:
        UserError: see ``chain``.
    """
    settings: dict[str, Any] = {}
    places: dict[str, str] = {}
    for block in reversed(chain(blocks, name, where)):
        for key, value in (blocks[block] or {}).items():
            if key != EXTENDS:
                settings[key], places[key] = value, f"{where}.{block}"
    return settings, places


def joined(
    upper: tuple[dict[str, Any], dict[str, str]], lower: tuple[dict[str, Any], dict[str, str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the merged settings of two levels.

    Raises:
        UserError: settings that both have; one line for each.
    """
    both = [key for key in upper[0] if key in lower[0]]
    if both:
        lines = (
            f"params.yaml: {upper[1][key]}.{key}: stands in {lower[1][key]} too; keep one"
            for key in both
        )
        raise UserError("\n".join(lines))
    return {**upper[0], **lower[0]}, {**upper[1], **lower[1]}
