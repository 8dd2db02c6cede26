"""Preparation of the user's pictures for all methods: one format, one size, one manifest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.decoders import RefusedError, require_regular
from atelier.core.filenames import readable, stems
from atelier.core.files import atomic_folder, write_json
from atelier.core.layout import PHOTOGRAPHS, REQUIRED, left_out, splits
from atelier.core.pairing import Pairing
from atelier.core.paths import TEST_PAINTINGS, Prepared
from atelier.datasets.parallel import cores, parallel
from atelier.datasets.prepare_settings import FEWEST_HELD_OUT, PrepareSettings
from atelier.datasets.selection import (
    LEAK,
    PAINTED,
    PAINTINGS,
    TEST,
    TRAINING,
    Picture,
    hold_out,
    part_of_training,
    sift,
)
from atelier.tracking.progress import progress


@dataclass(frozen=True)
class _Task:
    """A picture to be prepared by a worker process."""

    source: Path
    target: Path
    settings: PrepareSettings
    larger: Path | None = None
    """File of the copy of ``training_size``, if it has one."""


def prepare(data: Path, out: Path, settings: PrepareSettings, seed: int) -> dict[str, Any]:
    """Write every usable picture below ``data`` to ``out`` as PNG, with manifest and pairing.

    ``out`` appears complete or not at all, and replaces an existing one.

    Returns:
        The manifest: equal for equal files, settings and seed, on any machine.

    Raises:
        UserError: wrong layout, too few usable pictures, a broken one with ``on_broken: fail``.
    """
    found = splits(data)
    _check_out(data, out)
    pictures = _hashed(_named(data, found), settings)
    kept, skipped, duplicates = sift(pictures, keep_duplicates=settings.duplicates == "keep")
    kept = part_of_training(kept, settings.train_photos, seed)
    kept, copies = hold_out(kept, settings.test_paintings, seed, settings.min_pictures)
    with atomic_folder(out) as folder:
        entries, broken = _convert(kept, folder, settings)
        skipped = sorted([*skipped, *copies, *broken], key=lambda entry: entry["source"])
        _check_enough(data, found, entries, settings)
        pairing = _paired(entries, settings, seed)
        manifest = {
            "digest": _digest(entries, settings),
            "seed": seed,
            "settings": settings.decisive(),
            "counts": _counts(found, entries),
            "warnings": [*_warnings(entries, skipped, duplicates, settings), *_left_out(data)],
            "skipped": skipped,
            "duplicates": duplicates,
            "pictures": entries,
        }
        pairing.write(Prepared(folder).pairing)
        write_json(Prepared(folder).manifest, manifest)
    return manifest


def _check_out(data: Path, out: Path) -> None:
    one, other = data.resolve(), out.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise UserError(f"{out}: must lie outside {data}, whose pictures are never changed")
    if out.exists() and any(out.iterdir()) and not Prepared(out).manifest.is_file():
        raise UserError(f"{out}: holds something other than prepared pictures; move it away first")


def _named(data: Path, found: dict[str, list[Path]]) -> list[Picture]:
    pictures = []
    for split, paths in found.items():
        inner = [path.relative_to(data / split).as_posix() for path in paths]
        for path, source, name in zip(paths, inner, stems(inner), strict=True):
            file = f"{split}/{name}.png"
            pictures.append(Picture(split, path, f"{split}/{readable(source)}", file))
    return pictures


def _hashed(pictures: list[Picture], settings: PrepareSettings) -> list[Picture]:
    # Threads are enough: reading and hashing both release the GIL.
    with ThreadPoolExecutor(settings.workers or cores()) as pool:
        hashes = pool.map(_hash_file, [picture.path for picture in pictures])
        told = progress(hashes, len(pictures), "hash")
        return [replace(p, sha256=h) for p, h in zip(pictures, told, strict=True)]


def _hash_file(path: Path) -> str:
    try:
        require_regular(path)  # opening a pipe would block for ever
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, RefusedError):
        return ""  # reading it as a picture will report why


def _convert(
    pictures: list[Picture], folder: Path, settings: PrepareSettings
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    tasks = [_Task(p.path, folder / p.file, settings, _larger(p, folder)) for p in pictures]
    entries: list[dict[str, Any]] = []
    broken: list[dict[str, str]] = []
    results = parallel(_convert_one, tasks, "prepare", settings.workers)
    for picture, result in zip(pictures, results, strict=True):
        if isinstance(result, str):
            broken.append({"source": picture.source, "reason": result})
        else:
            known = {key: getattr(picture, key) for key in ("file", "split", "source", "sha256")}
            entries.append({**known, **result})
    return entries, broken


def _larger(picture: Picture, folder: Path) -> Path | None:
    return (
        Prepared(folder).larger.folder / picture.file
        if picture.split in (*PHOTOGRAPHS["both"], *PAINTED)
        else None
    )


def _convert_one(task: _Task) -> dict[str, Any] | str:
    """Write one picture; return its sizes, or why it was skipped."""
    settings = task.settings
    try:
        image = images.read(task.source, int(settings.max_megapixels * 1e6))
    except images.ImageError as error:
        if settings.on_broken == "fail":
            raise
        return error.reason
    small = images.resize(image, settings.box, settings.resize)
    images.save_png(small, task.target)
    if settings.training_size and task.larger:
        larger = images.resize(image, settings.box_to_train(image.size), settings.resize)
        images.save_png(larger, task.larger)
    return {"width": image.width, "height": image.height, "size": list(small.size)}


def _check_enough(
    data: Path,
    found: dict[str, list[Path]],
    entries: list[dict[str, Any]],
    settings: PrepareSettings,
) -> None:
    used = Counter(entry["split"] for entry in entries)
    held_out = used[TEST_PAINTINGS]
    if settings.test_paintings is not None and held_out < FEWEST_HELD_OUT:
        counts = f"{held_out} of {settings.test_paintings} held-out paintings are usable"
        need = f"at least {FEWEST_HELD_OUT} are needed; raise prepare.test_paintings"
        raise UserError(f"{data / PAINTINGS}: only {counts}, {need}")
    for split in REQUIRED:
        if used[split] < settings.min_pictures:
            counts = f"{used[split]} of {len(found[split])} pictures are usable"
            need = f"at least {settings.min_pictures} are needed (min_pictures)"
            raise UserError(f"{data / split}: only {counts}, {need}; see `atelier data check`")


def _counts(
    found: dict[str, list[Path]], entries: list[dict[str, Any]]
) -> dict[str, dict[str, int]]:
    used = Counter(entry["split"] for entry in entries)
    counts = {split: {"found": len(found[split]), "used": used[split]} for split in found}
    if held_out := used[TEST_PAINTINGS]:
        counts[TEST_PAINTINGS] = {"found": len(found[PAINTINGS]), "used": held_out}
    return counts


def _paired(entries: list[dict[str, Any]], settings: PrepareSettings, seed: int) -> Pairing:
    def of(split: str, name: Callable[[Path], str]) -> list[str]:
        return [name(Path(entry["file"])) for entry in entries if entry["split"] == split]

    photos = of(TEST, lambda path: path.stem)
    paintings = of(settings.pair_with, lambda path: path.name)
    return Pairing.make(photos, paintings, seed, settings.test_photos)


def _warnings(
    entries: list[dict[str, Any]],
    skipped: list[dict[str, str]],
    duplicates: list[dict[str, str]],
    settings: PrepareSettings,
) -> list[str]:
    used = Counter(entry["split"] for entry in entries)
    leaks = [entry for entry in skipped if entry["reason"].startswith(LEAK)]
    painted = sum(entry["source"].startswith(PAINTED) for entry in leaks)
    broken = len(skipped) - len(leaks)
    photos = len(leaks) - painted
    notes = {
        f"{photos} training photographs are test photographs too and were dropped": photos,
        f"{painted} paintings are copies of held-out ones and were dropped": painted,
        f"{broken} pictures could not be read and were skipped": broken,
        f"{len(duplicates)} pictures are exact duplicates ({settings.duplicates})": duplicates,
        **_fewer("test_photos", settings.test_photos, used[TEST]),
        **_fewer("train_photos", settings.train_photos, used[TRAINING]),
        **_fewer("test_paintings", settings.test_paintings, used[TEST_PAINTINGS]),
    }
    return [note for note, holds in notes.items() if holds]


def _fewer(key: str, wanted: int | None, there: int) -> dict[str, bool]:
    """Return the warning for a number of pictures that is not reached, and whether it is not."""
    return {f"{key} asks for {wanted}, there are {there}": there < (wanted or 0)}


def _left_out(data: Path) -> list[str]:
    """Return ``left_out`` without the path of the data on this machine."""
    return [line.replace(f"{readable(data)}/", "") for line in left_out(data)]


def _digest(entries: list[dict[str, Any]], settings: PrepareSettings) -> str:
    """Return the digest of the data set: of pictures, splits and settings, not of names."""
    sources = sorted((entry["split"], entry["sha256"]) for entry in entries)
    text = json.dumps([sources, settings.decisive()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
