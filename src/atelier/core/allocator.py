"""Settings of the C library's memory allocator, which torch's tensors on a CPU come from."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Constants of glibc's <malloc.h>."""


def keep_memory() -> None:
    """Make glibc keep freed memory instead of returning it to the kernel after every tensor.

    A step of Gatys' method frees and takes hundreds of MiB, and every page of newly mapped memory
    costs a page fault: a fifth of the time of applying CycleGAN. No effect with other C libraries.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)  # never
