"""MLflow's own pages: on which port they are served, so that links lead there."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from atelier.core.config import UserError, main_root
from atelier.core.files import read_record, write_json
from atelier.core.process import identity, is_gone
from atelier.tracking.store import default_database

HOST, PORT = "127.0.0.1", 5000
RECORD = Path(".checkpoints/ui.json")


def address() -> str:
    """Return where MLflow is served now, or else where ``atelier ui`` would serve it."""
    found = {}
    with suppress(UserError):  # outside a project
        found = read_record(main_root() / RECORD)
    port = found.get("port")
    if not isinstance(port, int) or is_gone(found.get("process")):
        port = PORT
    return f"http://{HOST}:{port}"


def announce(port: int) -> str:
    """Write down that this process is about to serve on ``port``; return the address.

    Raises:
        UserError: somebody else does.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError as error:
            reason = f"port {port} cannot be had ({error.strerror}), perhaps for another `make ui`"
            other = port + 1 if port < 65535 else PORT
            raise UserError(f"{reason}; run: make ui PORT={other}") from None
    write_json(main_root() / RECORD, {"port": port, "process": identity()})
    return address()


def serve(port: int) -> NoReturn:
    """Become MLflow's server, which keeps this process's number."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.chdir(main_root())
    # Named from here, no character of the project's own path can be misread.
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{default_database().name}"
    command = ["-m", "mlflow", "ui", "--host", HOST, "--port", str(port)]
    os.execv(  # noqa: S606 - no shell is what is wanted
        sys.executable, [sys.executable, *command, "--backend-store-uri", store]
    )
