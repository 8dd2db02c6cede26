"""MLflow's server as a process, as machines share it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from atelier.tracking.client import library
from support.bench import environment, wait_for
from support.cluster import free_ports

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
OPTIONS = ("--backend-store-uri", "sqlite:///runs.db", "--artifacts-destination", "files")


class TrackingServer:
    """A server of one process, with database and files in ``folder``; to be stopped."""

    def __init__(self, folder: Path) -> None:
        """Start it, without waiting until it answers."""
        (port,) = free_ports(1)
        self.address, self.log = f"http://127.0.0.1:{port}", folder / "log.txt"
        where = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
        command = [sys.executable, "-m", "mlflow", "server", *where, *OPTIONS]
        env = {**environment(cold=True), **QUIET}
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True
            )

    def wait(self) -> None:
        """Return when it answers."""
        wait_for(self._answers, self.process, 300)

    def _answers(self) -> bool:
        with suppress(OSError), urlopen(f"{self.address}/health", timeout=60):  # noqa: S310 - ours
            return True
        return False

    def runs(self, method: str) -> dict[str, str]:
        """Return id → status of a method's runs."""
        client = library().MlflowClient(self.address)
        ids = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(ids, f"tags.method = '{method}'")
        return {run.info.run_id: run.info.status for run in found}

    def stop(self) -> None:
        """End it, with its own processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
