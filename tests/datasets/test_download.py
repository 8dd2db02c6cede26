"""Downloads from a server on this machine that behaves in every way servers do."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atelier.core.config import UserError
from atelier.core.files import read_json
from atelier.core.layout import splits
from atelier.datasets import archive
from atelier.datasets import download as download_module
from atelier.datasets.download import Patience, download, fetch
from support.pictures import ramp

QUICK = Patience(timeout=1.0, attempts=2, pause=0.01)


def png(seed: int = 0) -> bytes:
    out = io.BytesIO()
    ramp(8, 8, seed).save(out, format="PNG")
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, raw in members.items():
            file.writestr(name, raw)
    return out.getvalue()


def members() -> dict[str, bytes]:
    names = ["trainA/1.jpg", "trainA/2.JPG", "trainB/1.jpg", "testA/1.jpg", "testB/2 3.png"]
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, format="PNG")  # about 3 MiB: several chunks
    pictures = {f"vangogh2photo/{name}": png(n) for n, name in enumerate(names)}
    junk = {"__MACOSX/vangogh2photo/trainA/._1.jpg": b"x", "vangogh2photo/trainA/Thumbs.db": b"x"}
    return {**pictures, **junk, "vangogh2photo/trainB/big.png": out.getvalue()}


class Server(ThreadingHTTPServer):
    """Serves one body; what it does wrong is set by the test."""

    daemon_threads = True
    body = b""
    ranges = True
    drop_after: int | None = None  # bytes of the first answer, then the connection is cut
    failures = 0  # 503 that many times
    wrong_offset = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/vangogh2photo.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if server.failures:
            server.failures -= 1
            return self.send_error(503)
        if "missing" in self.path:
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        total = len(server.body)
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            return self.end_headers()
        start = start if not server.wrong_offset else 0
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        end = None if server.drop_after is None else start + server.drop_after
        server.drop_after = None
        self.wfile.write(server.body[start:end])
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as found:
        found.body = zipped(members())
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_fetch_lays_out_and_records(server: Server, tmp_path: Path) -> None:
    source = fetch(server.url, tmp_path / "data", patience=QUICK)
    found = splits(tmp_path / "data")
    names = {split: [path.name for path in paths] for split, paths in found.items()}
    assert names == {
        "photos/train": ["1.jpg", "big.png"],
        "photos/test": ["2 3.png"],
        "paintings": ["1.jpg", "2.JPG"],
    }
    assert found["paintings"][1].read_bytes() == png(1)
    digest = hashlib.sha256(server.body).hexdigest()
    assert source == {"url": server.url, "bytes": len(server.body), "sha256": digest}
    assert read_json(tmp_path / "data" / "SOURCE.json") == source
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_dropped_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.drop_after = 2 * 2**20 + 17
    download(server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == server.body
    assert server.asked == [None, f"bytes={2 * 2**20 + 17}-"]


def test_a_part_of_an_earlier_run_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(server.body[:1000])
    download(server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == server.body
    assert server.asked == ["bytes=1000-"]


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.drop_after = 2**20
    download(server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == server.body


def test_a_server_that_sends_another_range(server: Server, tmp_path: Path) -> None:
    server.wrong_offset = True
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    download(server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == server.body


@pytest.mark.parametrize("extra", [0, 5])  # complete already; the file on the server shrank
def test_nothing_beyond_what_we_have(server: Server, tmp_path: Path, extra: int) -> None:
    (tmp_path / "a.zip.part").write_bytes(server.body + b"x" * extra)
    download(server.url, tmp_path / "a.zip", patience=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == server.body
    assert len(server.asked) == (2 if extra else 1)


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.failures = 1
    download(server.url, tmp_path / "a.zip", patience=QUICK)
    assert len(server.asked) == 2
    server.failures = 2
    with pytest.raises(UserError, match=r"was interrupted .*503.* are kept; run again to resume"):
        download(server.url, tmp_path / "b.zip", patience=QUICK)


def test_what_came_is_kept_for_the_next_run(server: Server, tmp_path: Path) -> None:
    server.drop_after = 2**20
    with pytest.raises(UserError, match=r"the 1\.0 MiB received are kept"):
        download(server.url, tmp_path / "a.zip", patience=Patience(1.0, 1, 0.01))
    assert (tmp_path / "a.zip.part").stat().st_size == 2**20
    assert not (tmp_path / "a.zip").exists()


def test_404_and_no_server_and_other_schemes(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.zip: the server answers 404 .*--url"):
        fetch(server.url.replace("vangogh2photo", "missing"), tmp_path / "data", patience=QUICK)
    assert len(server.asked) == 1  # asking again would not help
    with pytest.raises(UserError, match=r"was interrupted .*run again"):
        fetch("http://127.0.0.1:9/a.zip", tmp_path / "data", patience=QUICK)
    with pytest.raises(UserError, match="only http and https"):
        fetch("file:///etc/passwd", tmp_path / "data", patience=QUICK)
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match="exists already"):
        fetch(server.url, tmp_path / "data", patience=QUICK)


def test_expected_size_and_hash(server: Server, tmp_path: Path) -> None:
    digest, size = hashlib.sha256(server.body).hexdigest(), len(server.body)
    for wrong in ({"sha256": "0" * 64}, {"size": size + 1}):
        with pytest.raises(UserError, match=r"expected .* run again"):
            fetch(server.url, tmp_path / "data", patience=QUICK, **wrong)
        assert list(tmp_path.iterdir()) == []
    fetch(server.url, tmp_path / "data", sha256=digest.upper(), size=size, patience=QUICK)


def refuse(tmp_path: Path, raw: bytes, match: str) -> None:
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(UserError, match=match):
        archive.unpack(tmp_path / "a.zip", tmp_path / "in" / "data")
    assert not list(tmp_path.rglob("*.jpg"))
    assert not (tmp_path / "in" / "data").exists()
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["../evil.jpg", "trainA/../../evil.jpg", "/tmp/evil.jpg", "trainA\\..\\..\\e.jpg", "C:/e.jpg"],  # noqa: S108
)
def test_members_that_climb_out(tmp_path: Path, name: str) -> None:
    raw = zipped({**members(), name: png()})
    refuse(tmp_path, raw, "outside the data folder; nothing was unpacked")


def test_links_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO(zipped(members()))
    with zipfile.ZipFile(out, "a") as file:
        link = zipfile.ZipInfo("trainA/link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    refuse(tmp_path, out.getvalue(), r"link\.jpg' is a link")


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(tmp_path, zipped({**members(), "trainA/b.jpg": bytes(2**22)}), "times its size")
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    refuse(tmp_path, zipped(members()), "would unpack to 8 files")


def test_other_archives(tmp_path: Path) -> None:
    refuse(tmp_path, b"<html>please log in</html>", "is damaged or not a zip archive")
    refuse(tmp_path, zipped({"trainA/1.jpg": png()}), "no pictures in trainB and testB")
    twice = zipped({**members(), "VANGOGH/trainA/1.jpg": png()})
    refuse(tmp_path, twice, "is damaged")
    damaged = bytearray(zipped(members()))
    damaged[len(damaged) // 2] ^= 0xFF
    refuse(tmp_path, bytes(damaged), "is damaged")


def test_a_bad_archive_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.body = b"x" * 1000
    with pytest.raises(UserError, match="is damaged"):
        fetch(server.url, tmp_path / "data", patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def broken_lzma() -> bytes:
    """A member whose compressed bytes are noise, which ends in an error of a kind of its own."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as file:
        for name, content in members().items():
            file.writestr(name, content)
    raw, begin = out.getvalue(), out.getvalue().index(b".jpg") + len(".jpg") + 12
    return raw[:begin] + bytes(range(200, 220)) + raw[begin + 20 :]


def no_text() -> bytes:
    """A name marked as UTF-8 that is not."""
    raw = bytearray(zipped({**members(), "trainA/zz.jpg": png()}))
    directory = raw.rindex(b"PK\1\2")
    raw[directory + 9] |= 8
    at = raw.rindex(b"zz.jpg")
    raw[at : at + 2] = b"\xff\xfe"
    return bytes(raw)


def negative_offset() -> bytes:
    raw = bytearray(zipped(members()))
    end = raw.rindex(b"PK\5\6")
    raw[end + 16 : end + 20] = b"\xf0\xff\xff\xff"
    return bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [
        broken_lzma(),
        no_text(),
        negative_offset(),
        zipped({**members(), f"trainA/{'x' * 300}.jpg": png()}),
        zipped({**members(), "VANGOGH/trainA/1.jpg": png()}),
        zipped(members())[:-30],
        b"<html>please log in</html>",
    ],
    ids=["lzma", "name", "offset", "long", "twice", "truncated", "page"],
)
def test_every_kind_of_bad_archive_is_dropped_and_named(
    server: Server, tmp_path: Path, raw: bytes
) -> None:
    """The second call downloads again, which helps once the file on the server is right."""
    server.body = raw
    with pytest.raises(UserError, match="the download was deleted") as told:
        fetch(server.url, tmp_path / "data", patience=QUICK)
    assert str(told.value).startswith(f"{server.url}: ")
    assert list(tmp_path.iterdir()) == []
    server.body = zipped(members())
    assert fetch(server.url, tmp_path / "data", patience=QUICK)["bytes"] == len(server.body)


@pytest.mark.parametrize(("number", "kept"), [(errno.EINVAL, False), (errno.ENOSPC, True)])
def test_an_archive_the_system_cannot_unpack_is_named_and_not_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kept: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(download_module, "unpack", refuse)
    server.body = zipped(members())
    with pytest.raises(OSError if kept else UserError, match=os.strerror(number)):
        fetch(server.url, tmp_path / "data", patience=QUICK)
    assert bool(list(tmp_path.iterdir())) == kept
