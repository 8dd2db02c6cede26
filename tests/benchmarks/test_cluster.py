"""The benchmark of a cluster, as far as it needs none."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.scripts import script


@pytest.mark.slow
def test_a_row_without_ray(tmp_path: Path) -> None:
    benchmark = script("benchmarks/cluster.py")
    benchmark.project(tmp_path, width=4, pictures=3, side=32)
    row = benchmark.stylize(tmp_path, 0, 3)
    assert (row["workers"], row["pictures"]) == ("no Ray", 3)
    assert row["pictures/s"] > 0
    assert row["head, peak MiB"] > 50
    (tmp_path / "in/000000.png").write_text("no picture")
    (tmp_path / "out-0/000000-small.png").unlink()
    with pytest.raises(RuntimeError, match=r"2 of 3 made:\n[^$]*000000\.png"):
        benchmark.stylize(tmp_path, 0, 3)
