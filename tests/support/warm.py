"""Processes that begin with the libraries imported, which takes most of the time of a small stage.

A server imports them once. ``python``, ``dvc`` and ``atelier`` in its folder ask it to fork, and
hand their arguments, folder, environment and files on to the fork. Nothing of this project is
imported before. Forks of a server share its seed of hashes: the order of their
sets does not vary, so what is to be the same twice is made the second time by those of another.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

BIN = Path(sys.executable).parent
PROGRAMS = {"python": [], "dvc": [f"{BIN}/dvc"], "atelier": [f"{BIN}/atelier"]}
"""What they run, as arguments of the interpreter."""
LIBRARIES = (
    "torch", "torch._dynamo", "pandas", "pydantic", "safetensors.torch", "ruamel.yaml", "pyparsing",
    "mlflow", "mlflow.store.tracking.sqlalchemy_store", "dvc.cli.parser", "dvc.analytics",
    "dvc.repo.reproduce", "dvc.repo.add", "dvc.repo.status", "dvc.repo.metrics.show",
    "dvc.repo.plots", "dvc.repo.datasets", "dvc.repo.experiments", "dvc.utils.strictyaml",
    "dulwich.ignore",
)  # fmt: skip
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "CRITICAL"}
"""As ``tracking/client.py`` has it; MLflow reads them when it is imported."""
CLIENT = """\
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b"+"], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    code = int(server.makefile().read())
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextmanager
def interpreters() -> Iterator[Path]:
    """The folder of the programs, while the server runs."""
    with tempfile.TemporaryDirectory() as name:  # the address of a socket is short
        folder = Path(name)
        (folder / "client.py").write_text(CLIENT)
        (folder / "bin").mkdir()
        for program, words in PROGRAMS.items():
            command = [sys.executable, "-IS", folder / "client.py", folder / "socket", *words]
            path = folder / "bin" / program
            path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
            path.chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, "-m", "atelier.core.process", sys.executable, __file__, name],
            env={**os.environ, **QUIET, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        )
        assert server.stdout is not None
        assert server.stdout.readline(), "the server of warm interpreters did not start"
        try:
            yield folder / "bin"
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()


def fork(listener: socket.socket) -> list[Any]:
    """Return in each fork, with what it is asked to run; the server itself never does."""
    signal.signal(signal.SIGCHLD, reap)
    while True:
        client, _ = listener.accept()
        if os.fork() == 0:
            break
        client.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listener.close()
    _, files, *_ = socket.recv_fds(client, 1, 3)
    with client.makefile() as text:
        asked: list[Any] = json.load(text)
    if child := os.fork():
        keep(client, child, files)
    client.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    return asked


def reap(number: int, frame: object) -> None:
    """Let no keeper remain a zombie; the time that its fork took counts as the server's."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def keep(client: socket.socket, child: int, files: list[int]) -> None:
    """Wait for a fork, tell how it ended, and end."""
    for file in (0, 1, 2, *files):  # who reads them waits for all who could write
        os.close(file)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # killed, with the shell it was called from
        client.sendall(str(code).encode())
    os._exit(0)


def act(words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do what ``python`` with these arguments does."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    multiprocessing.process.ORIGINAL_DIR = folder
    more = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if words[0] == "-u":  # torchrun's
        sys.stdout.reconfigure(write_through=True)
        words = words[1:]
    how, *rest = words
    if how == "-c":
        sys.path[0:1] = ["", *more]
        code, *arguments = rest
        sys.argv = ["-c", *arguments]
        exec(code, {"__name__": "__main__"})  # noqa: S102 - that of a test
    elif how == "-m":
        sys.path[0:1] = [folder, *more]
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0:1] = [str(Path(how).absolute().parent), *more]
        sys.argv = words
        runpy.run_path(how, run_name="__main__")


def end(code: int) -> NoReturn:
    """End as Python does, but free nothing: to do so, every page of the server would be copied."""
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)  # Python knows what to say of it
    os._exit(code)


def main(folder: str) -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # forks share its pages until something writes to them, as a collection does
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen()
        print("ready", flush=True)
        asked = fork(listener)
    code: object = None
    try:
        act(*asked)
    except SystemExit as error:
        code = error.code
        if not isinstance(code, int | None):
            raise
    end(code or 0)


if __name__ == "__main__":
    main(sys.argv[1])
