"""Launcher of a training over several machines: ``nodes`` in ``params.yaml``.

``python -m atelier.cluster.launcher SCRIPT …`` runs the stage's script in every process.
"""

from __future__ import annotations

import sys

from atelier.cluster.ray_cluster import connected, inside_address
from atelier.core.config import Params
from atelier.core.logs import show_logs
from atelier.tracking.stage import stage, stage_entry


def main() -> None:
    """Run the script of the arguments; exit as its processes on this machine did."""
    sys.argv = sys.argv[1:]  # as the script sees them
    show_logs()
    entry = stage_entry()
    with stage("train", entry):
        params = Params.load()
        asked = f"params.yaml: nodes: {params.nodes}"
        with connected(inside_address(asked), asked_by=asked):
            from atelier.cluster.ray_training import train_on_nodes  # noqa: PLC0415 - an extra

            code = train_on_nodes(entry, params, sys.argv[:1])
        if code:
            sys.exit(code)  # the process that failed has said why


if __name__ == "__main__":
    main()
