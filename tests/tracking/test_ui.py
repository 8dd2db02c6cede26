"""Where MLflow's pages are served, and what links say of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from atelier.core.config import UserError
from atelier.tracking import links, ui


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text("methods: {}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((ui.HOST, 0))
        found: int = probe.getsockname()[1]
        return found


def test_links_lead_to_the_port_that_is_served(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ui.address() == "http://127.0.0.1:5000"
    assert ui.announce(port) == ui.address() == f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://somewhere/runs")
    assert links.run_page("a1")[0].startswith(f"http://127.0.0.1:{port}/#/")


def test_a_server_that_has_ended_is_forgotten(port: int, project: Path) -> None:
    code = f"from atelier.tracking.ui import announce; print(announce({port}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"http://127.0.0.1:{port}\n"
    assert json.loads((project / ui.RECORD).read_text())["port"] == port
    assert ui.address() == "http://127.0.0.1:5000"


def test_a_port_that_is_taken_is_a_sentence(port: int, project: Path) -> None:
    with socket.socket() as other:
        other.bind((ui.HOST, port))
        other.listen()
        with pytest.raises(UserError, match=rf"port {port} .*make ui PORT={port + 1}"):
            ui.announce(port)
    assert not (project / ui.RECORD).exists()


def test_the_server_reads_the_projects_store_by_no_name_of_a_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: begun.append(command))
    ui.serve(5003)
    assert begun[0][1:] == [
        *("-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", "5003"),
        *("--backend-store-uri", "sqlite:///mlflow.db"),
    ]
