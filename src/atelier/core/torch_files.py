"""Torch's own files, read for their tensors alone: no code in them is run."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from atelier.core.config import UserError


def read_torch(path: Path) -> Any:
    """Read what ``torch.save`` wrote, onto the CPU.

    Raises:
        UserError: it cannot be read, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():  # torch asks to report another protocol to its authors
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - torch raises many kinds
        raise UserError(f"{path}: {why_unreadable(error)}") from None


def why_unreadable(error: BaseException) -> str:
    """Return in one line why a weight file cannot be read, torch's or another.

    Of a file that holds code torch says how to run the code nevertheless, which nobody should.
    """
    message = str(error)
    if isinstance(error, UnpicklingError):
        code = re.search(r"GLOBAL (\S+)|unsupported (?:global|class) (\S+)", message)
        if code:
            return f"refused, it holds more than weights: {code[1] or code[2]}"
        kind = "no kind that torch writes; was the download an error page?"
        return f"not a readable weight file: {kind}"
    return f"not a readable weight file: {message.partition(chr(10))[0] or 'it is truncated'}"
