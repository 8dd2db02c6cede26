"""``atelier doctor``: the installation, data and networks, and what a run would use."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from atelier.cli.mend import broken_rwlock
from atelier.core import zoo_files
from atelier.core.config import Params, UserError
from atelier.core.device import device_name, pick_device
from atelier.core.layout import counts, splits
from atelier.core.precision import has_bfloat16
from atelier.datasets.importer import NEW, OLD
from atelier.datasets.parallel import cores
from atelier.engine import validate
from atelier.nn.pretrained.weights import PUBLISHED, SHIPPED, found_at
from atelier.tracking.store import database_of, probe, store_uri

State = Literal["ok", "missing", "wrong"]
PACKAGES = ("torch", "torchvision", "dvc", "mlflow", "streamlit")
EXTRAS = {"onnx": "onnxruntime", "diffusion": "diffusers"}
"""Extra of the package → the packages it installs."""
LEAST_DISK = 2 * 2**30
"""Bytes of free disk space below which the demo may fail."""


class Line(NamedTuple):
    """One check; ``wrong`` prevents a run, ``missing`` only what needs it."""

    what: str
    state: State
    found: str


def examine(root: Path, params: Params) -> Iterator[Line]:
    """Return all checks, one line each; a check that fails is a line, too."""
    yield Line("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield from _packages()
    yield from _settings(params)
    yield from _devices(params)
    yield _disk(root)
    yield from _left_by_kills(root)
    yield _data(root)
    yield _zoo(root)
    yield from _networks(params)
    yield _store()
    yield from _run(params)


def _packages() -> Iterator[Line]:
    for name in PACKAGES:
        found = _version(name)
        yield Line(name, "ok" if found else "wrong", found or "is not installed; run `make demo`")
    for extra, name in EXTRAS.items():
        found, how = _version(name), f"optional: pip install -e '.[{extra}]'"
        yield Line(name, "ok" if found else "missing", found or how)


def _version(name: str) -> str:
    try:
        return version(name)  # of the installed package, without importing it
    except PackageNotFoundError:
        return ""


def _settings(params: Params) -> Iterator[Line]:
    """Return the mistakes in ``params.yaml``, one per line, as `atelier check` does."""
    found = validate.problems(params)
    yield from (Line("params.yaml", "wrong", text.removeprefix("params.yaml: ")) for text in found)
    if not found:
        yield Line("params.yaml", "ok", f"no mistakes at the scales {', '.join(params.scales)}")


def _devices(params: Params) -> Iterator[Line]:
    for n in range(torch.cuda.device_count()):
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(n))
        name = torch.cuda.get_device_name(n)
        yield Line(f"GPU {n}", "ok", f"{name}, {free:.1f} of {total:.1f} GiB free")
    lowest = "bfloat16" if has_bfloat16("cpu") else "no bfloat16"
    yield Line("CPU", "ok", f"{cores()} cores{_memory()}, {lowest}")
    yield _waiting()
    try:
        device = pick_device(params)
    except UserError as error:
        yield Line("device", "wrong", str(error))
    else:
        yield Line("device", "ok", f"{params.device}: {device_name(device)}")


def _waiting() -> Line:
    """Return how threads of torch wait: spinning they take cores from other trainings."""
    policy = os.environ.get("OMP_WAIT_POLICY", "")
    if policy.upper() == "PASSIVE":
        return Line("threads", "ok", "sleep while they wait (OMP_WAIT_POLICY=PASSIVE)")
    advice = "on a shared machine set OMP_WAIT_POLICY=PASSIVE, as make and fan-out do"
    return Line("threads", "ok", f"spin while they wait; {advice}")


def _memory() -> str:
    """Return the machine's memory as text; a container may allow less."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not a POSIX system
        return ""
    return f", {pages * size / 2**30:.1f} GiB of memory"


def _disk(root: Path) -> Line:
    free = shutil.disk_usage(root).free
    state: State = "ok" if free >= LEAST_DISK else "wrong"
    return Line("disk", state, f"{free / 2**30:.1f} GiB free in {root}")


def _left_by_kills(root: Path) -> Iterator[Line]:
    """Return a line about remains of killed runs, if any."""
    if reason := broken_rwlock(root):
        yield Line("DVC", "wrong", f"{reason}; run `atelier mend`")
    for path in (*root.glob(OLD), *root.glob(NEW)):
        yield Line("data", "wrong", f"{path}: left by `atelier data use`; run `atelier mend`")


def _data(root: Path) -> Line:
    try:
        sizes = counts(splits(root / "data"))
    except UserError as error:
        return Line("data", "wrong", f"{error}; `dvc pull data.dvc` brings the sample")
    return Line("data", "ok", ", ".join(f"{count} {split}" for split, count in sizes.items()))


def _zoo(root: Path) -> Line:
    """Return a line about the zoo; hashes are left to `atelier zoo check`."""
    try:
        names = zoo_files.names(root)
    except UserError as error:
        return Line("zoo", "wrong", str(error))
    how = zoo_files.how_to_get(root) or "no entries"
    return Line("zoo", "ok" if names else "missing", ", ".join(names) or how)


def _networks(params: Params) -> Iterator[Line]:
    """Return a line per perceptual network: where its weights are, and what needs it."""
    users = needed(params)
    for name in (*SHIPPED, *PUBLISHED):
        used = f"needed by {_some(users[name])}" if name in users else "not needed at this scale"
        try:
            path = found_at(name)
        except UserError as error:
            yield Line(name, "wrong", str(error))
            continue
        how = f"will be downloaded, or put {name}.safetensors into ATELIER_WEIGHTS"
        place = path or (how if name in users else "not here")
        yield Line(name, "ok" if path else "missing", f"{used}; {place}")


def needed(params: Params) -> dict[str, list[str]]:
    """Return perceptual network → the methods and steps that use it at the scale in force."""
    blocks = {name: params.method(name) for name in params.method_names}
    found: dict[str, list[str]] = {}
    for user, block in {**blocks, "evaluate": params.scaled("evaluate")}.items():
        for network in {str(v) for v in _leaves(block) if v in (*SHIPPED, *PUBLISHED)}:
            found.setdefault(network, []).append(user)
    return found


def _leaves(block: Mapping[str, Any]) -> Iterable[Any]:
    return [value for value in block.values() if isinstance(value, str)]


def _some(names: list[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _store() -> Line:
    uri = store_uri()
    database = database_of(uri)
    if database is None:
        return Line("tracking", "ok", f"{uri} (not checked)")
    if not database.exists():
        return Line("tracking", "ok", f"{database}, made by the first run")
    try:
        probe(database)
    except sqlite3.Error as error:
        how = "move it away and the next run makes a new one; results do not depend on it"
        return Line("tracking", "missing", f"{database}: {error}; {how}")
    return Line("tracking", "ok", str(database))


def _run(params: Params) -> Iterator[Line]:
    """Return what `dvc repro` would use."""
    prepare, evaluate = params.scaled("prepare"), params.scaled("evaluate")
    photos = prepare.get("test_photos") or "all"
    size = f"{prepare.get('size')} px, {photos} test photographs"
    yield Line("scale", "ok", f"{params.scale}: {size}, {len(params.method_names)} methods")
    other = f" (or {evaluate['fallback_features']})" if evaluate.get("fallback_features") else ""
    yield Line("distance", "ok", f"on features of {evaluate.get('features')}{other}")
