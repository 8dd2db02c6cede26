"""A dashboard beside the test, and the system's Chromium, driven by Playwright, to point at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SECONDS = 60.0
"""How long anything may take on a busy machine."""


def chromium() -> str | None:
    """Return the path of the system's browser, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the system's Chromium; Playwright's own is never downloaded."""
    with sync_playwright() as play:
        program = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield program
        program.close()


@contextmanager
def dashboard(root: Path, log: Path) -> Iterator[str]:
    """Serve the project in ``root``; the address of its dashboard."""
    (root / ".streamlit").mkdir(exist_ok=True)
    shutil.copy(APP.parents[1] / ".streamlit" / "config.toml", root / ".streamlit")
    with log.open("wb") as out:
        process, url = _served(root, out.fileno())
        try:
            yield url
        finally:
            _end(process)


def _served(root: Path, out: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start Streamlit at a free port; another one if somebody took it in the meantime."""
    for _ in range(3):
        port = free_port()
        options = [f"--server.port={port}", "--server.fileWatcherType=none"]
        command = [sys.executable, "-m", "streamlit", "run", str(APP), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=root, stdout=out, stderr=out, env=environment)
        if _answers(process, url := f"http://localhost:{port}"):
            return process, url
        _end(process)
    raise AssertionError("the dashboard does not start; see its log")


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:  # noqa: S310
                return bool(answer.read() == b"ok")
        except OSError:  # not yet
            time.sleep(0.05)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
