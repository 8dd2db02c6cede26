"""Published scores for photographs translated to paintings by Van Gogh.

They are always shown apart from ours: data, numbers of pictures, training and networks differ.
Scores that could not be checked in their source are left out.
"""

from __future__ import annotations

import pandas as pd

REPORT = "course report, Sun Yat-sen University"
PROTOCOL = "pytorch-fid, 400 paintings, up to 1,000 pictures"
UGATIT = "Kim et al. 2020 (U-GAT-IT), photo2vangogh"
PAPER = "as in the paper"

ROWS = (
    # Only ten pictures of each system are public. The report prints CycleGAN's as "203,4569".
    ("CycleGAN", "FID", 203.46, PROTOCOL, REPORT),
    ("Arbitrary Style Transfer", "FID", 223.59, PROTOCOL, REPORT),
    ("AdaAttN", "FID", 327.09, PROTOCOL, REPORT),
    ("U-GAT-IT", "FID", 351.77, PROTOCOL, REPORT),
    ("CNN (Gatys)", "FID", 369.46, PROTOCOL, REPORT),
    ("UNIT", "KID ×100", 4.26, PAPER, UGATIT),
    ("U-GAT-IT", "KID ×100", 4.28, PAPER, UGATIT),
    ("CycleGAN", "KID ×100", 5.46, PAPER, UGATIT),
    ("AGGAN", "KID ×100", 6.95, PAPER, UGATIT),
    ("DRIT", "KID ×100", 12.65, PAPER, UGATIT),
    ("MUNIT", "KID ×100", 13.08, PAPER, UGATIT),
)


def published() -> pd.DataFrame:
    """Return all rows, with the columns' names; best first for each metric."""
    return pd.DataFrame(ROWS, columns=["system", "metric", "value", "protocol", "source"])
