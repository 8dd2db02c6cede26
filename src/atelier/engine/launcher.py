"""torchrun without its report: the processes it starts have said in a line why they ended.

``python -m atelier.engine.launcher`` takes torchrun's arguments.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main(arguments: Sequence[str]) -> int:
    """Run torchrun; return the exit code of the process that failed first, 0 if none did.

    Only of one that a signal ended, which cannot have said so itself, there is a line here.
    """
    logging.disable(logging.ERROR)  # in this process alone, which has nothing else to say
    try:
        run.main(list(arguments))
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode
        name = signal.Signals(-failure.exitcode).name
        print(f"error: process {rank} was ended by {name}", file=sys.stderr)  # noqa: T201 - a program
        return 128 - failure.exitcode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
