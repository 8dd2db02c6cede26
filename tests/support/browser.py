"""A real headless Chromium, driven over its DevTools protocol; and a dashboard to point it at."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--remote-allow-origins=*", "--force-device-scale-factor=1",
)  # fmt: skip
SECONDS = 60.0


def chromium() -> str | None:
    """Its program, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def until(ready: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """The first true answer of ``ready``; a connection that is refused is a no."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := ready():
                return found
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own http address
        return bytes(answer.read())


@contextmanager
def program(*command: str, cwd: Path, log: Path) -> Iterator[None]:
    """Run a program beside the test, in a process group that ends with it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=out, env=environment)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def dashboard(root: Path, log: Path) -> Iterator[str]:
    """Address of a dashboard over the project in ``root``."""
    port = free_port()
    settings = APP.parents[1] / ".streamlit" / "config.toml"
    (root / ".streamlit").mkdir(exist_ok=True)
    shutil.copy(settings, root / ".streamlit")
    options = [f"--server.port={port}", "--server.fileWatcherType=none"]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), *options]
    with program(*command, cwd=root, log=log):
        url = f"http://localhost:{port}"
        until(lambda: get(f"{url}/_stcore/health") == b"ok", "the dashboard")
        yield url


class Tab:
    """One page of a browser."""

    def __init__(self, socket_: Any) -> None:
        self._socket = socket_
        self._count = 0
        self.requests: list[str] = []
        """Addresses of all that was asked for."""
        self.complaints: list[str] = []
        """Errors of the page's scripts."""
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(SECONDS))
            if message.get("id") == self._count:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        kind, params = message.get("method"), message.get("params", {})
        if kind == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if kind == "Network.webSocketCreated":
            self.requests.append(params["url"])
        if kind == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:500])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def ask(self, script: str) -> Any:
        """Value of a JavaScript expression; ``all(selector)`` looks into shadow roots, too."""
        how = {"returnByValue": True, "awaitPromise": True}
        found = self.call("Runtime.evaluate", expression=DEEP + script, **how)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = SECONDS) -> Any:
        return until(lambda: self.ask(script), script, seconds)

    def upload(self, selector: str, path: Path) -> None:
        """Choose a file in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def key(self, name: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            event = {"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", **event)

    def mouse(self, kind: str, x: float, y: float) -> None:
        button = "none" if kind == "mouseMoved" else "left"
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def picture(self, path: Path) -> None:
        """What is on the screen."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))


DEEP = """
var all = (selector, root = document) => [
  ...root.querySelectorAll(selector),
  ...[...root.querySelectorAll('*')].filter(e => e.shadowRoot)
    .flatMap(e => all(selector, e.shadowRoot)),
];
"""


@contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """A fresh browser with one empty page; ``folder`` takes its profile and log."""
    program_, port = chromium(), free_port()
    assert program_
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [program_, *FLAGS, profile, f"--remote-debugging-port={port}", "about:blank"]
    with program(*command, cwd=folder, log=folder / "chromium.log"):
        pages = until(lambda: _pages(port), "Chromium")
        address = pages[0]["webSocketDebuggerUrl"]
        with connect(address, max_size=2**28, proxy=None) as socket_:
            yield Tab(socket_)


def _pages(port: int) -> list[dict[str, Any]]:
    found = json.loads(get(f"http://127.0.0.1:{port}/json"))
    return [page for page in found if page["type"] == "page"]
