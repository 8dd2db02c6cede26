"""Means of cells, as torch's adaptive pooling has them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from atelier.nn.pooling import average_cells


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (18, 24), (50, 33)])
def test_cells_are_those_of_adaptive_pooling(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).double()
    for cells in ((18, 18), (4, 9)):
        torch.testing.assert_close(average_cells(maps, cells), F.adaptive_avg_pool2d(maps, cells))
