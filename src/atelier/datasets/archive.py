"""Safe unpacking of an untrusted unpaired-translation archive (trainA, trainB, testB)."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from atelier.core.config import UserError
from atelier.core.decoders import SUFFIXES
from atelier.core.files import atomic_folder
from atelier.core.layout import REQUIRED

FOLDERS = {"trainA": "paintings", "trainB": "photos/train", "testB": "photos/test"}
"""Folder of the archive → folder of the project. testA repeats paintings of trainA."""
MAX_BYTES = 8 * 2**30
"""Size of all pictures, unpacked."""
MAX_FILES = 100_000
MAX_RATIO = 100.0
"""Unpacked size over packed size of one picture; already compressed formats stay near 1."""
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, OverflowError, struct.error),  # names that are no text, fields beyond any file
    MemoryError,  # a dictionary of 4 GiB
    FileExistsError,  # two members of one name
)


def unpack(archive: Path, folder: Path) -> dict[str, int]:
    """Unpack the pictures of ``archive`` below ``folder``, which appears complete or not at all.

    Returns:
        Number of pictures in each of photos/train, photos/test and paintings.

    Raises:
        UserError: not a zip, damaged, another layout, or a member that would write elsewhere,
            is a link, or unpacks to an unreasonable size.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already; move it away first")
    try:
        with atomic_folder(folder) as part:
            return _unpack_into(archive, part)
    except _BROKEN as error:
        raise UserError(f"{archive}: is damaged or not a zip archive ({error})") from None


def _unpack_into(archive: Path, part: Path) -> dict[str, int]:
    counts = dict.fromkeys(REQUIRED, 0)
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _check(archive, members)
        for member in members:
            target = _target(member)
            if target is None:
                continue
            path = part / target
            path.parent.mkdir(parents=True, exist_ok=True)
            # zipfile stops at the size checked above and compares the checksum.
            with file.open(member) as source, path.open("xb") as copy:
                shutil.copyfileobj(source, copy)
            counts[str(target.parent)] += 1
    _check_complete(archive, counts)
    return counts


def _check(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        reason = _danger(member)
        if reason:
            raise UserError(f"{archive}: {member.filename!r} {reason}; nothing was unpacked")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES or len(members) > MAX_FILES:
        size = f"{len(members)} files and {total / 2**30:.1f} GiB"
        raise UserError(f"{archive}: would unpack to {size}; nothing was unpacked")


def _danger(member: zipfile.ZipInfo) -> str | None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in str(path.parts[:1]):
        return "would be written outside the data folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.flag_bits & 1:
        return "is encrypted"
    packed = max(1, member.compress_size)
    if member.file_size > 2**20 and member.file_size / packed > MAX_RATIO:
        return f"unpacks to {member.file_size / packed:.0f} times its size"
    return None


def _target(member: zipfile.ZipInfo) -> PurePosixPath | None:
    """Return the target of a picture, or None for anything else."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    split = next((n for n, part in enumerate(path.parts) if part in FOLDERS), None)
    if split is None or hidden or member.is_dir() or path.suffix.lower() not in SUFFIXES:
        return None
    return PurePosixPath(FOLDERS[path.parts[split]], "__".join(path.parts[split + 1 :]))


def _check_complete(archive: Path, counts: dict[str, int]) -> None:
    empty = [name for name, split in FOLDERS.items() if not counts[split]]
    if empty:
        reason = f"holds no pictures in {' and '.join(empty)}"
        raise UserError(f"{archive}: {reason}; expected {', '.join(FOLDERS)}")
