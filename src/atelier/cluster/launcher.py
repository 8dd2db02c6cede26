"""Launcher of a training over several machines: ``nodes`` in ``params.yaml``.

``python -m atelier.cluster.launcher SCRIPT …`` runs the stage's script in every process.
"""

from __future__ import annotations

import os
import sys

from atelier.cluster.ray_cluster import ADDRESS, connected
from atelier.core.config import Params, UserError
from atelier.core.logs import show_logs
from atelier.tracking.stage import stage, stage_entry


def main() -> None:
    """Run the script of the arguments; exit as its processes on this machine did."""
    sys.argv = sys.argv[1:]  # as the script sees them
    show_logs()
    entry = stage_entry()
    with stage("train", entry):
        params = Params.load()
        asked, address = f"params.yaml: nodes: {params.nodes}", os.environ.get(ADDRESS) or "auto"
        if "://" in address:
            raise UserError(
                f"{asked}: {ADDRESS}={address}: this machine has to be one of the nodes; give "
                "HOST:PORT, or use `atelier fan-out --ray`"
            )
        with connected(address, asked_by=asked):
            from atelier.cluster.ray_training import train_on_nodes  # noqa: PLC0415 - an extra

            code = train_on_nodes(entry, params, sys.argv[:1])
        if code:
            sys.exit(code)  # the process that failed has said why


if __name__ == "__main__":
    main()
