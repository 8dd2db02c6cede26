"""Preparation of the user's pictures for all methods: one format, one size, one manifest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from atelier.core import images
from atelier.core.config import Settings, UserError
from atelier.core.decoders import MAX_PIXELS, RefusedError, require_regular
from atelier.core.filenames import readable, stems
from atelier.core.files import atomic_folder, write_json
from atelier.core.layout import REQUIRED, left_out, splits
from atelier.core.pairing import Pairing, choose
from atelier.core.paths import Prepared
from atelier.core.purpose import RunSetting
from atelier.datasets.parallel import cores, parallel
from atelier.tracking.progress import progress

TRAINING = "photos/train"
TRAINED = (TRAINING, "paintings", "styles")
"""Splits that systems are trained on."""


class PrepareSettings(Settings):
    """Settings of the step; only ``workers`` has no influence on the result."""

    size: int = Field(ge=16, le=4096)
    """Pixels: the side of the square, or the long side with ``resize: fit``."""
    training_size: int | None = Field(None, ge=16, le=4096)
    """As ``size``, of a second copy of the pictures to train on, for crops that come from larger
    pictures; none is enlarged for it beyond ``size``. None: no copy."""
    resize: images.ResizeMode = "crop"
    on_broken: Literal["skip", "fail"] = "skip"
    max_megapixels: float = Field(MAX_PIXELS / 1e6, gt=0, le=MAX_PIXELS / 1e6)
    """Megapixels above which a picture counts as broken."""
    duplicates: Literal["keep", "skip"] = "keep"
    """Treatment of the second of two equal files of one split."""
    train_photos: int | None = Field(None, ge=1)
    """Number of training photographs, a seeded choice; None: all. A larger one contains it."""
    test_photos: int | None = Field(None, ge=1)
    """Number of test photographs paired with a painting; None: all."""
    min_pictures: int = Field(1, ge=1)
    """Minimum number of usable pictures in a required split."""
    workers: RunSetting[int | None] = Field(None, ge=1)
    """Processes; None: one per core."""

    @model_validator(mode="after")
    def _larger(self) -> Self:
        if self.training_size is not None and self.training_size <= self.size:
            raise ValueError("training_size: has to be larger than size")
        return self

    def decisive(self) -> dict[str, Any]:
        """Return the settings on which the result depends; of some an unset one is none."""
        unset = {key for key in ("training_size", "train_photos") if getattr(self, key) is None}
        return self.model_dump(exclude={"workers", *unset})


@dataclass(frozen=True)
class _Picture:
    split: str
    path: Path
    source: str
    """Path inside the data folder."""
    file: str
    """Path inside the prepared folder."""
    sha256: str = ""


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
    kept, skipped, duplicates = _sift(pictures, settings)
    kept = _chosen(kept, settings.train_photos, seed)
    with atomic_folder(out) as folder:
        entries, broken = _convert(kept, folder, settings)
        skipped = sorted([*skipped, *broken], key=lambda entry: entry["source"])
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


def _named(data: Path, found: dict[str, list[Path]]) -> list[_Picture]:
    pictures = []
    for split, paths in found.items():
        inner = [path.relative_to(data / split).as_posix() for path in paths]
        for path, source, name in zip(paths, inner, stems(inner), strict=True):
            file = f"{split}/{name}.png"
            pictures.append(_Picture(split, path, f"{split}/{readable(source)}", file))
    return pictures


def _hashed(pictures: list[_Picture], settings: PrepareSettings) -> list[_Picture]:
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


def _sift(
    pictures: list[_Picture], settings: PrepareSettings
) -> tuple[list[_Picture], list[dict[str, str]], list[dict[str, str]]]:
    """Drop training photographs that are also test photographs, and duplicates if set."""
    kept: list[_Picture] = []
    leaks: list[dict[str, str]] = []
    duplicates: list[dict[str, str]] = []
    tests = {p.sha256: p.source for p in reversed(pictures) if p.split == "photos/test"}
    first: dict[tuple[str, str], str] = {}
    for picture in pictures:
        if picture.split == TRAINING and picture.sha256 in tests and picture.sha256:
            reason = f"leak: the same file as the test photograph {tests[picture.sha256]}"
            leaks.append({"source": picture.source, "reason": reason})
            continue
        same = first.setdefault((picture.split, picture.sha256), picture.source)
        repeated = bool(picture.sha256) and same != picture.source
        if repeated:
            duplicates.append({"source": picture.source, "same_as": same})
        if not repeated or settings.duplicates == "keep":
            kept.append(picture)
    return kept, leaks, duplicates


def _chosen(pictures: list[_Picture], count: int | None, seed: int) -> list[_Picture]:
    """Return all pictures, but of the training photographs only ``count``."""
    files = choose([p.file for p in pictures if p.split == TRAINING], count, seed)
    return [p for p in pictures if p.split != TRAINING or p.file in set(files)]


def _convert(
    pictures: list[_Picture], folder: Path, settings: PrepareSettings
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


def _larger(picture: _Picture, folder: Path) -> Path | None:
    return Prepared(folder).larger.folder / picture.file if picture.split in TRAINED else None


def _convert_one(task: _Task) -> dict[str, Any] | str:
    """Write one picture; return its sizes, or why it was skipped."""
    settings = task.settings
    try:
        image = images.read(task.source, int(settings.max_megapixels * 1e6))
    except images.ImageError as error:
        if settings.on_broken == "fail":
            raise
        return error.reason
    small = images.resize(image, settings.size, settings.resize)
    images.save_png(small, task.target)
    if settings.training_size and task.larger:
        own = max(image.size) if settings.resize == "fit" else min(image.size)
        side = max(settings.size, min(settings.training_size, own))
        images.save_png(images.resize(image, side, settings.resize), task.larger)
    return {"width": image.width, "height": image.height, "size": list(small.size)}


def _check_enough(
    data: Path,
    found: dict[str, list[Path]],
    entries: list[dict[str, Any]],
    settings: PrepareSettings,
) -> None:
    used = Counter(entry["split"] for entry in entries)
    for split in REQUIRED:
        if used[split] < settings.min_pictures:
            counts = f"{used[split]} of {len(found[split])} pictures are usable"
            need = f"at least {settings.min_pictures} are needed (min_pictures)"
            raise UserError(f"{data / split}: only {counts}, {need}; see `atelier data check`")


def _counts(
    found: dict[str, list[Path]], entries: list[dict[str, Any]]
) -> dict[str, dict[str, int]]:
    used = Counter(entry["split"] for entry in entries)
    return {split: {"found": len(found[split]), "used": used[split]} for split in found}


def _paired(entries: list[dict[str, Any]], settings: PrepareSettings, seed: int) -> Pairing:
    def of(split: str, name: Callable[[Path], str]) -> list[str]:
        return [name(Path(entry["file"])) for entry in entries if entry["split"] == split]

    photos = of("photos/test", lambda path: path.stem)
    paintings = of("paintings", lambda path: path.name)
    return Pairing.make(photos, paintings, seed, settings.test_photos)


def _warnings(
    entries: list[dict[str, Any]],
    skipped: list[dict[str, str]],
    duplicates: list[dict[str, str]],
    settings: PrepareSettings,
) -> list[str]:
    leaks = sum(entry["reason"].startswith("leak") for entry in skipped)
    tests = sum(entry["split"] == "photos/test" for entry in entries)
    trains = sum(entry["split"] == TRAINING for entry in entries)
    notes = {
        f"{leaks} training photographs are test photographs too and were dropped": leaks,
        f"{len(skipped) - leaks} pictures could not be read and were skipped": len(skipped) > leaks,
        f"{len(duplicates)} pictures are exact duplicates ({settings.duplicates})": duplicates,
        f"test_photos asks for {settings.test_photos}, there are {tests}": (
            tests < (settings.test_photos or 0)
        ),
        f"train_photos asks for {settings.train_photos}, there are {trains}": (
            trains < (settings.train_photos or 0)
        ),
    }
    return [note for note, holds in notes.items() if holds]


def _left_out(data: Path) -> list[str]:
    """Return ``left_out`` without the path of the data on this machine."""
    return [line.replace(f"{readable(data)}/", "") for line in left_out(data)]


def _digest(entries: list[dict[str, Any]], settings: PrepareSettings) -> str:
    """Return the digest of the data set: of pictures, splits and settings, not of names."""
    sources = sorted((entry["split"], entry["sha256"]) for entry in entries)
    text = json.dumps([sources, settings.decisive()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
