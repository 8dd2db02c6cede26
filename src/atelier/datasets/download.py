"""Download of a public picture archive: resumed when interrupted, checked, unpacked atomically."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, NoReturn

from atelier.core.config import UserError
from atelier.core.files import write_json
from atelier.datasets.archive import unpack
from atelier.tracking.progress import progress

URL = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/vangogh2photo.zip"
"""400 Van Gogh paintings, 6,287 + 751 photographs (Zhu et al. 2017, the CycleGAN data sets). The
authors publish no checksum: that of the download is written to SOURCE.json."""
MIB = 2**20
ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""System errors that are not caused by the archive."""
_NETWORK = (urllib.error.URLError, http.client.HTTPException, OSError)


@dataclass(frozen=True)
class Patience:
    """Limits of retrying."""

    timeout: float = 30.0
    """Seconds without a byte."""
    attempts: int = 5
    """Attempts in a row without progress."""
    pause: float = 1.0
    """Seconds before the second attempt; doubles each time."""


class _BrokenOffError(OSError):
    """The connection ended before the file was complete."""


def fetch(
    url: str,
    folder: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    patience: Patience | None = None,
) -> dict[str, Any]:
    """Download the archive at ``url`` and unpack it as a data folder.

    The archive is kept beside ``folder`` until it is unpacked, so that a second call resumes.

    Args:
        url: http or https address of a zip with trainA, trainB and testB.
        folder: must not exist; gets photos/train, photos/test, paintings and SOURCE.json.
        sha256: expected hash in hex, if known.
        size: expected bytes, if known.
        patience: time-outs and retries.

    Returns:
        Contents of SOURCE.json: url, bytes, sha256.

    Raises:
        UserError: with what to do: no connection, refused, wrong size or hash, bad archive.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already; move it away first")
    # Named after the address: the beginning of another file must not be resumed.
    archive = folder.parent / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}.zip"
    if not archive.is_file():
        download(url, archive, patience=patience)
    source = {"url": url, "bytes": _bytes(archive), "sha256": _sha256(archive)}
    if wrong := _unexpected(source, sha256, size):
        _refuse(url, archive, f"{wrong} (correct that, if the file is right)")
    try:
        unpack(archive, folder)
    except UserError as error:
        _refuse(url, archive, str(error).removeprefix(f"{archive}: "))
    except OSError as error:
        if error.errno in ROOM:
            raise
        # the archive asks for the impossible: a name too long, a negative offset
        _refuse(url, archive, f"cannot be unpacked ({error})")
    write_json(folder / "SOURCE.json", source)
    archive.unlink()
    return source


def _unexpected(source: dict[str, Any], sha256: str | None, size: int | None) -> str:
    """Return in what the download differs from what was expected, or ""."""
    if size is not None and source["bytes"] != size:
        return f"has {source['bytes']} bytes, expected {size}"
    if sha256 is not None and source["sha256"] != sha256.lower():
        return f"has sha256 {source['sha256']}, expected {sha256}"
    return ""


def _refuse(url: str, archive: Path, reason: str) -> NoReturn:
    """Delete the download, as resuming a complete file would not repair it."""
    archive.unlink()
    advice = "run again to download it anew, or give another with --url"
    raise UserError(f"{url}: {reason}; the download was deleted, {advice}") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, target: Path, *, patience: Patience | None = None) -> None:
    """Stream ``url`` to ``target``; a partial download is kept in ``<target>.part``.

    Raises:
        UserError: not http(s), refused by the server, or no progress in several attempts.
    """
    if urllib.parse.urlparse(url).scheme not in {"http", "https"}:
        raise UserError(f"{url}: only http and https addresses can be fetched")
    patience = patience or Patience()
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while failures < patience.attempts:
        before = _bytes(part)
        try:
            _transfer(url, part, patience.timeout)
        except _NETWORK as error:
            _give_up_when_refused(url, error)
            problem = error
            failures = 1 if _bytes(part) > before else failures + 1
            time.sleep(patience.pause * 2 ** (failures - 1))
        else:
            part.replace(target)
            return
    kept = f"the {_bytes(part) / MIB:.1f} MiB received are kept; run again to resume"
    raise UserError(f"{url}: the download was interrupted ({problem}); {kept}")


def _give_up_when_refused(url: str, error: Exception) -> None:
    """Raise unless a retry may help, as with a busy server or network, or a time-out."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code < 500 and error.code not in {408, 425, 429}:
            advice = "check the address, or give another with --url"
            raise UserError(f"{url}: the server answers {error.code} {error.reason}; {advice}")


def _transfer(url: str, part: Path, timeout: float) -> None:
    """Download the rest of ``part``; return when it is complete."""
    have = _bytes(part)
    wanted = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers={"User-Agent": "atelier", **wanted})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            total = _save(response, part, have)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        # The server has nothing further: the file is complete, or it is part of another one.
        error.close()
        total = _total(error.headers)
        if total != have:
            part.unlink()
            raise _BrokenOffError("the file on the server has changed; starting again") from None
    came = _bytes(part)
    if total is not None and came != total:
        if came > total:
            part.unlink()  # endless growth must not count as progress
        raise _BrokenOffError(f"{came} of {total} bytes")


def _save(response: http.client.HTTPResponse, part: Path, have: int) -> int | None:
    """Append the response to ``part``; return the size of the whole file, if known."""
    total = _total(response.headers)
    partial = response.status == 206
    if partial and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.unlink(missing_ok=True)
        raise _BrokenOffError("the server sent another part than requested; starting again")
    chunks: Iterator[bytes] = iter(lambda: response.read(MIB), b"")
    if total is not None:
        left = total - have if partial else total
        chunks = progress(chunks, -(-left // MIB), "download (MiB)")
    # A plain 200 returns the file from its beginning, whatever was requested.
    with part.open("ab" if partial else "wb") as file:
        file.writelines(chunks)
    return total


def _total(headers: Message) -> int | None:
    """Return the size of the whole file: after Content-Range's slash, else Content-Length."""
    whole = re.fullmatch(r"bytes .*/(\d+)", headers.get("Content-Range", ""))
    text = whole.group(1) if whole else headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
