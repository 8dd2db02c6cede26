"""Checks of the structure of ``params.yaml``: all that are possible without importing torch.

Types and bounds of an entry's own settings are checked by its method's ``Settings``, which import
torch: ``engine.validate`` does that for all entries at all scales.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from atelier.core.extends import CLASS, EXTENDS, SEED, joined, repeated, resolved
from atelier.core.phases import THEN
from atelier.core.settings import Settings, UserError, nearest, shown

STEPS = ("prepare", "denoise", "evaluate", "compare")
"""Steps of the DAG with settings of their own, at the top and in every scale."""
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of entries and scales: they become names of files and of stages, and words of the shell."""
DEVICE = r"^(auto|cpu|mps|cuda(:\d{1,2})?)$"
Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""Precision of convolutions and matrix products; losses and statistics stay in float32. ``auto``:
bfloat16 where the device computes in it, else float32. float16 is for GPUs without bfloat16."""
LONGEST_TEXT = 1000


class TopLevel(Settings):
    """Settings at the top of ``params.yaml`` outside any block."""

    scale: str
    """Name of the scale in force."""
    seed: int = Field(ge=0)
    device: str = Field("auto", pattern=DEVICE)
    devices: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)
    cluster_workers: int = Field(0, ge=0, le=100_000)
    tf32: bool = True
    cudnn_benchmark: bool = False


def structure_problems(tree: Mapping[str, Any]) -> list[str]:
    """Return all mistakes in the structure of ``tree``, one line each, in the order of the file."""
    return list(dict.fromkeys(_problems(tree)))


def _problems(tree: Mapping[str, Any]) -> Iterator[str]:
    for key in tree:
        if key not in _tops():
            yield f"params.yaml: {key}: no such setting{nearest(key, _tops())}"
    top = {key: value for key, value in tree.items() if key in TopLevel.model_fields}
    yield from (_top_line(line) for line in TopLevel.problems(top, ""))
    yield from _nodes(TopLevel.valid_part({"scale": "", "seed": 0, **top}))
    for step in STEPS:
        yield from _block(tree.get(step), step)
    yield from _entries(tree)
    yield from _scales(tree)


def _tops() -> list[str]:
    return [*TopLevel.model_fields, *STEPS, "methods", "scales"]


def _top_line(line: str) -> str:
    """Replace the pattern of ``device`` by its meaning."""
    meaning = "has to be auto, cpu, cuda, cuda:N (a GPU's number) or mps"
    return re.sub(r"has to match pattern '.*'(?= \(found)", meaning, line)


def _nodes(top: TopLevel | None) -> Iterator[str]:
    if top and top.devices % top.nodes:
        yield f"params.yaml: nodes: {top.devices} devices cannot be divided among {top.nodes} nodes"


def _without_blocks(name: str, tree: Mapping[str, Any]) -> str:
    if name not in tree:
        return f"params.yaml: {name}: is missing"
    return f"params.yaml: {name}: has to name at least one block (found {shown(tree[name])})"


def _in_force(scale: object, scales: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(scale, str) and scale not in scales:
        yield f"params.yaml: scale: {shown(scale)} is not one of {', '.join(scales)}"


def _entries(tree: Mapping[str, Any]) -> Iterator[str]:
    """Check names, blocks and classes of all entries."""
    methods = tree.get("methods")
    if not isinstance(methods, dict) or not methods:
        yield _without_blocks("methods", tree)
        return
    for name, block in methods.items():
        where = f"methods.{name}"
        yield from _name(name, "methods")
        if not isinstance(block, dict):
            yield f"params.yaml: {where}: has to be a block of settings (found {shown(block)})"
            continue
        yield from _block(block, where)
        yield from _class(block.get(CLASS), where)
        if SEED in block:
            yield from TopLevel.problems({SEED: block[SEED], "scale": ""}, where)


def _class(name: object, where: str) -> Iterator[str]:
    path = f"params.yaml: {where}.{CLASS}"
    if name is None:
        yield f"{path}: is missing; it names the file in atelier/methods"
    elif not isinstance(name, str) or name not in method_files():
        close = nearest(name, method_files())
        yield f"{path}: {shown(name)} is not a file in atelier/methods{close}"


@cache
def method_files() -> tuple[str, ...]:
    """Return the valid names of ``class``: files in ``atelier/methods`` that define a method."""
    folder = Path(__file__).parents[1] / "methods"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))}
    return tuple(
        name for name, text in texts.items() if re.search(r"^METHOD\b", text, re.MULTILINE)
    )


def _scales(tree: Mapping[str, Any]) -> Iterator[str]:
    """Check all scales, and that the one in force is among them."""
    scales = tree.get("scales")
    if not isinstance(scales, dict) or not scales:
        yield _without_blocks("scales", tree)
        return
    for scale, blocks in scales.items():
        yield from _scale(scale, blocks, tree)
    yield from _in_force(tree.get("scale"), scales)


def _scale(scale: str, blocks: object, tree: Mapping[str, Any]) -> Iterator[str]:
    """Check one scale: its names, its blocks, and that they match those at the top."""
    where = f"scales.{scale}"
    yield from _name(scale, "scales")
    if not isinstance(blocks, dict):
        yield f"params.yaml: {where}: has to be a block of blocks (found {shown(blocks)})"
        return
    methods = tree.get("methods") if isinstance(tree.get("methods"), dict) else {}
    known = [*STEPS, *(methods or {})]
    for name, block in blocks.items():
        if name not in known and methods:  # without any, that is the one mistake
            yield f"params.yaml: {where}.{name}: no such step or method{nearest(name, known)}"
        yield from _block(block, f"{where}.{name}")
        for key in (CLASS, SEED):
            if isinstance(block, dict) and key in block and name not in STEPS:
                yield f"params.yaml: {where}.{name}.{key}: stands in `methods` only"
    yield from (
        f"params.yaml: {where}: lacks a block for {name}"
        for name in methods or {}
        if repeated(methods or {}, blocks, name) not in blocks
    )
    for name in known:
        yield from _joins(name, scale, tree)


def _joins(name: str, scale: str, tree: Mapping[str, Any]) -> Iterator[str]:
    """Check that the two levels of an entry or a step can be merged."""
    if not _two_levels(name, scale, tree):
        return  # already reported
    try:
        settings_of(tree, name, scale)
    except UserError as error:
        yield from str(error).splitlines()


def _two_levels(name: str, scale: str, tree: Mapping[str, Any]) -> bool:
    """Return whether both levels are blocks; those of a step may be absent."""
    blocks = tree["scales"][scale]
    both = [tree.get(name) if name in STEPS else tree["methods"][name], blocks.get(name)]
    if not all(block is None or isinstance(block, dict) for block in both):
        return False
    return name in STEPS or repeated(tree["methods"], blocks, name) in blocks


def sound_blocks(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (scale, entry or step) for all whose settings can be read, whatever else is wrong."""
    methods, scales = (tree.get(key) for key in ("methods", "scales"))
    entries = methods if isinstance(methods, dict) else {}
    classes = {name: block.get(CLASS) for name, block in entries.items() if isinstance(block, dict)}
    known = [name for name, of in classes.items() if of in method_files() and name not in STEPS]
    for scale, blocks in (scales if isinstance(scales, dict) else {}).items():
        for name in (*STEPS, *known) if isinstance(blocks, dict) else ():
            if _two_levels(name, scale, tree) and not any(_joins(name, scale, tree)):
                yield scale, name


def settings_of(
    tree: Mapping[str, Any], name: str, scale: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings of an entry or a step at ``scale``, and the block each is set in.

    Raises:
        UserError: see ``extends``.
    """
    blocks, here = tree["scales"][scale], f"scales.{scale}"
    if name in STEPS:
        upper = dict(tree.get(name) or {})
        own = dict(blocks.get(name) or {})
        return joined(
            (upper, dict.fromkeys(upper, name)), (own, dict.fromkeys(own, f"{here}.{name}"))
        )
    upper_level = resolved(tree["methods"], name, "methods")
    of = repeated(tree["methods"], blocks, name)
    lower, places = resolved(blocks, of, here)
    if of != name and lower.get("warm_start") == "zoo":  # the zoo has the entry, not its repetition
        lower["warm_start"] = f"zoo:{of}"
    return joined(upper_level, (lower, places))


def _name(name: str, where: str) -> Iterator[str]:
    if not NAME.fullmatch(name):
        path = f"params.yaml: {where}.{name[:64]}"
        yield f"{path!s}: a name has letters, digits, `_` and `-` only, at most 64"
    elif where == "methods" and (name in STEPS or name == EXTENDS):
        yield f"params.yaml: {where}.{name}: is the name of a step; choose another"


def _block(block: object, where: str) -> Iterator[str]:
    """Check that a block holds plain values and lists of them, without infinities."""
    if block is None:
        return
    if not isinstance(block, dict):
        yield f"params.yaml: {where}: has to be a block of settings (found {shown(block)})"
        return
    for key, value in block.items():
        if key == THEN and isinstance(value, list):
            for place, part in enumerate(value):
                yield from _block(part, f"{where}.{key}[{place}]")
        else:
            yield from _plain(value, f"params.yaml: {where}.{key}")


def _plain(value: object, path: str) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, list | dict):
            yield f"{path}: has to be a value or a list of values (found {shown(value)})"
        elif isinstance(item, float) and not abs(item) < float("inf"):
            yield f"{path}: has to be a finite number (found {shown(item)})"
        elif isinstance(item, str) and len(item) > LONGEST_TEXT:
            yield f"{path}: has {len(item)} letters; at most {LONGEST_TEXT} are read"
