"""A disk on which a training's checkpoint takes a moment, for tests that stop it halfway.

Python imports this before a script. Without it, how far a training of few steps gets before it is
stopped would depend on how fast the machine is.
"""

import os
import sys
import time
from pathlib import Path

SECONDS = 0.3
VARIABLE = "SLOW_DISK"


def wait(event: str, arguments: tuple[object, ...]) -> None:
    """Hold up a checkpoint as it gets its name, while the file is there that the variable names."""
    checkpoint = event == "os.rename" and str(arguments[1]).endswith(".pt")
    if checkpoint and Path(os.environ[VARIABLE]).exists():
        time.sleep(SECONDS)


if VARIABLE in os.environ and "stages/train.py" in sys.orig_argv:
    sys.addaudithook(wait)
