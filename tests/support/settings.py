"""Small trees of settings as ``params.yaml`` has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Block = Mapping[str, Any]


def tree(methods: Mapping[str, Block], **top: Any) -> dict[str, Any]:
    """Whole settings with ``methods``, whose one scale adds nothing."""
    scales = {"demo": dict.fromkeys(methods)}
    return {"scale": "demo", "seed": 1, "methods": dict(methods), "scales": scales, **top}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is not a block, with its path."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from leaves(inside, (*path, key))
    else:
        yield path, value


def differing(one: Any, other: Any) -> set[str]:
    """Paths of the values that are not the same, of the same type, in both."""
    first, second = dict(leaves(one)), dict(leaves(other))
    every, nothing = {**first, **second}, object()
    return {
        ".".join(path)
        for path in every
        if repr(first.get(path, nothing)) != repr(second.get(path, nothing))
    }
