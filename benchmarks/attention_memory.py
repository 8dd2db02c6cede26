"""Memory and time of AdaAttN's attention moments and of the full attention map.

    python benchmarks/attention_memory.py OUT --sides 64 96 128

Forward, and forward with backward. Every measurement runs in its own process, whose peak is
relative to its memory after imports and a first small call. N = M = side² tokens of one picture,
values and keys as wide as at relu4_1, where 64² tokens are a picture of 512 pixels.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from atelier.core.files import write_json
from atelier.nn.attention import STD_EPS, attention_moments

BACKWARD = (False, True)
TOLERANCE = 1e-3
"""Relative tolerance of the sum of all results."""


def whole_map(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Attend as Huage001/AdaAttN: softmax(Q·Kᵀ), and two products with it."""
    share = torch.softmax(torch.bmm(query, key.mT), 2)
    mean = torch.bmm(share, value)
    variance = torch.relu(torch.bmm(share, value**2) - mean**2)
    return mean, (variance + STD_EPS).sqrt()


WAYS = {"moments": attention_moments, "map": whole_map}


def call(way: str, tokens: int, width: int, key_width: int, *, backward: bool) -> float:
    """Return the sum of the moments of seeded noise and, with ``backward``, of all gradients."""
    generator = torch.Generator().manual_seed(0)
    sizes = (key_width, key_width, width)
    query, key, value = (torch.randn(1, tokens, size, generator=generator) for size in sizes)
    # scores with a standard deviation near 2: attention neither uniform nor one-hot
    query *= 2 / key_width**0.5
    leaves = [part.requires_grad_(backward) for part in (query, key, value)]
    total = torch.stack([part.sum() for part in WAYS[way](*leaves)]).sum()
    if backward:
        torch.autograd.backward(total)
    return total.item()


def peak() -> int:
    """Return the peak memory of this process, in bytes.

    Not ``resource.getrusage``: its peak includes that of the parent process.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError("/proc/self/status has no VmHWM; this needs Linux")
    return 1024 * int(found[1])


def measure(way: str, tokens: int, repeats: int, **knobs: Any) -> dict[str, float]:
    """Measure in this process: peak beyond the baseline, median seconds of a few calls."""
    call(way, 64, **knobs)
    baseline, seconds = peak(), []
    for _ in range(repeats):
        began = time.perf_counter()
        total = call(way, tokens, **knobs)
        seconds.append(time.perf_counter() - began)
    return {"extra_gib": (peak() - baseline) / 2**30, "seconds": median(seconds), "total": total}


def measured(**knobs: Any) -> dict[str, Any]:
    """Return ``measure`` from a new process."""
    command = [sys.executable, __file__, "--measure", json.dumps(knobs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return {**knobs, **json.loads(done.stdout)}


def main(out: Path, sides: Sequence[int], width: int, key_width: int, repeats: int) -> None:
    rows = []
    for side, backward in product(sides, BACKWARD):
        same = {"tokens": side**2, "width": width, "key_width": key_width, "backward": backward}
        pair = [measured(way=way, repeats=repeats, **same) for way in WAYS]
        ours, plain = (row["total"] for row in pair)
        if abs(ours - plain) > TOLERANCE * abs(plain):
            raise ValueError(f"{same}: the sums are {ours} (moments), {plain} (map)")
        print(*pair, sep="\n", flush=True)
        rows += pair
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format))
    write_json(out / "attention_memory.json", {"threads": torch.get_num_threads(), "rows": rows})


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        print(json.dumps(measure(**json.loads(sys.argv[2]))))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 96, 128])
    for option, value in {"width": 512, "key-width": 960, "repeats": 3}.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    main(**vars(parser.parse_args()))
