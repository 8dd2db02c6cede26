"""Device of a run, and its peak memory."""

from __future__ import annotations

import platform
import resource
import sys
from functools import cache
from pathlib import Path

from atelier.core.config import Params, UserError

# torch is imported where a device is asked for: not all stages need it, and it takes seconds


def pick_device(params: Params | None) -> str:
    """Return ``device`` of params.yaml; ``auto``, also used outside a project, prefers a GPU.

    Also sets what the settings say of NVIDIA's GPUs; without one it has no effect.

    Raises:
        UserError: this machine does not have the device.
    """
    import torch  # noqa: PLC0415

    if params:
        # Convolutions alone: Gram matrices, covariances and attention stay in float32.
        convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
        convolutions.fp32_precision = "tf32" if params.tf32 else "ieee"
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.benchmark = params.cudnn_benchmark
    wanted, lacks = params.device if params else "auto", "set auto or cpu"
    if wanted.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise UserError(f"params.yaml: device: {wanted}, but torch sees no GPU; {lacks}")
        if int(wanted.partition(":")[2] or 0) >= count:
            raise UserError(f"params.yaml: device: {wanted}, but torch sees {count} GPUs; {lacks}")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"params.yaml: device: mps, but torch sees no such device; {lacks}")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name(device: str) -> str:
    """Return a readable name of the device, such as ``NVIDIA H100`` or ``CPU …, 2 threads``."""
    import torch  # noqa: PLC0415

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "cpu":
        return f"CPU {processor()}, {torch.get_num_threads()} threads"
    return device


@cache
def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = (
            row.partition(":")[2] for row in info.read_text().splitlines() if "model name" in row
        )
        return next(names, platform.machine()).strip()
    return platform.processor() or platform.machine()


def peak_memory_mib() -> float:
    """Return peak memory so far in MiB: the GPU's if this process used one, else its own."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB


def out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch has a dedicated exception for GPUs only."""
    torch = sys.modules.get("torch")
    own = torch is not None and isinstance(error, torch.OutOfMemoryError)
    on_cpu = "DefaultCPUAllocator: can't allocate" in str(error)
    return own or on_cpu or isinstance(error, MemoryError)
