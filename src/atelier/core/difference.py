"""How much two files of results differ: pictures by levels, tensors and numbers by their values."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from atelier.core import images
from atelier.core.config import UserError

PICTURES, TENSORS, NUMBERS, BYTES = "pictures", "tensors", "numbers", "bytes"
KINDS = {
    ".png": PICTURES,
    ".safetensors": TENSORS,
    ".json": NUMBERS,
    ".csv": NUMBERS,
}
"""Suffix → what such a file holds; ``BYTES`` for all others."""


@dataclass(frozen=True)
class Difference:
    """What differs between two files."""

    kind: str
    """One of the four above."""
    largest: float = 0.0
    """Largest absolute difference: of 8-bit levels in pictures, else of values."""
    mean: float = 0.0
    """Mean absolute difference, over all values of the file."""
    relative: float = 0.0
    """Largest difference relative to the larger of the two values, in [0, 2]."""
    where: str = ""
    """Tensor, key or cell of the largest relative difference."""
    other: str = ""
    """What no number measures, a phrase: another size, other keys or text; "" for none."""


def difference(recorded: Path, found: Path) -> Difference | None:
    """Return how ``found`` differs from ``recorded``; None if the two are equal byte for byte."""
    if recorded.read_bytes() == found.read_bytes():
        return None
    kind = KINDS.get(found.suffix.lower(), BYTES)
    try:
        return _COMPARE[kind](recorded, found)
    except (UserError, OSError, ValueError, SafetensorError, csv.Error) as error:
        return Difference(kind, other=f"cannot be compared ({str(error).partition(chr(10))[0]})")


def _pictures(recorded: Path, found: Path) -> Difference:
    one, other = (np.asarray(images.read(path), np.int16) for path in (recorded, found))
    if one.shape != other.shape:
        sizes = [f"{image.shape[1]}×{image.shape[0]}" for image in (other, one)]
        return Difference(PICTURES, other=f"{sizes[0]} instead of {sizes[1]} pixels")
    return _measured(PICTURES, [("", one.astype(float), other.astype(float))])


def _tensors(recorded: Path, found: Path) -> Difference:
    one, other = (load_file(path) for path in (recorded, found))
    odd = sorted({*one, *other} - {k for k in one if _shape(one, k) == _shape(other, k)})
    pairs = [(k, _numbers(one[k]), _numbers(other[k])) for k in sorted(one) if k not in odd]
    return _measured(TENSORS, pairs, f"other shapes: {', '.join(odd[:3])}" if odd else "")


def _shape(tensors: Mapping[str, NDArray[Any]], key: str) -> tuple[int, ...] | None:
    return tensors[key].shape if key in tensors else None


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype(np.float64)


def _values(recorded: Path, found: Path) -> Difference:
    """JSON or CSV: numbers by key or cell; texts and keys that differ are counted."""
    one, other = (dict(_leaves(_read(path))) for path in (recorded, found))
    numbers = [key for key in one if _is_number(one[key]) and _is_number(other.get(key))]
    unlike = {key for key in {*one, *other} - set(numbers) if one.get(key) != other.get(key)}
    pairs = [(key, np.array([one[key]], float), np.array([other[key]], float)) for key in numbers]
    named = ", ".join(sorted(unlike)[:3])
    return _measured(NUMBERS, pairs, f"other entries: {named}" if unlike else "")


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".json":
        return json.loads(text)
    rows = list(csv.reader(text.splitlines()))
    head = rows[0] if rows else []
    return [dict(zip(head, map(_cell, row), strict=False)) for row in rows[1:]]


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings and lists, with its path: ``denoised.kid``."""
    if isinstance(tree, Mapping | list) and tree:
        items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for key, value in items:
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, tree


def _measured(
    kind: str, pairs: list[tuple[str, NDArray[Any], NDArray[Any]]], other: str = ""
) -> Difference:
    """Measure arrays of equal shape, each with its name."""
    largest = relative = total = 0.0
    where, count = "", 0
    for name, a, b in pairs:
        apart = _apart(a, b)
        size = np.maximum(np.abs(a), np.abs(b))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(apart > 0, np.where(np.isfinite(apart), apart / size, math.inf), 0)
        largest = max(largest, float(apart.max(initial=0)))
        total, count = total + float(apart.sum()), count + apart.size
        if (most := float(share.max(initial=0))) > relative:
            relative, where = most, name
    if not largest and not other:
        other = "the same values, written otherwise"
    return Difference(kind, largest, total / max(1, count), relative, where, other)


def _apart(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Absolute differences; none between equal values that are not finite, else infinity."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    return np.where(same, 0, np.where(np.isfinite(apart), apart, math.inf))


def _bytes(recorded: Path, found: Path) -> Difference:
    sizes = found.stat().st_size, recorded.stat().st_size
    return Difference(BYTES, other="{} bytes instead of {}".format(*sizes))


_COMPARE: Mapping[str, Callable[[Path, Path], Difference]] = {
    PICTURES: _pictures,
    TENSORS: _tensors,
    NUMBERS: _values,
    BYTES: _bytes,
}
