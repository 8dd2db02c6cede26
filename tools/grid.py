"""Update the README's picture, ``docs/grid.webp``, from the comparison's grid.

    python -m tools.grid [results/comparison/grid.png]

The grid of a full comparison is several megabytes as PNG, and git keeps every version of it.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from atelier.core.config import UserError
from atelier.core.files import atomic

SOURCE, TARGET = Path("results/comparison/grid.png"), Path("docs/grid.webp")
WIDTH = 2400
"""Width in pixels at which the labels of eighteen columns are legible."""
LIMIT = 500_000
"""Maximum size in bytes of a picture in the documentation."""
QUALITIES = (80, 70, 60, 50, 40, 30)


def webp(picture: Image.Image) -> bytes:
    """Return ``picture`` as WebP, at most ``WIDTH`` wide and ``LIMIT`` bytes long.

    Raises:
        UserError: it is too large at the lowest quality.
    """
    picture = picture.convert("RGB")
    if picture.width > WIDTH:
        size = (WIDTH, round(picture.height * WIDTH / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        data = io.BytesIO()
        picture.save(data, "WEBP", quality=quality, method=6)
        if data.tell() <= LIMIT:
            return data.getvalue()
    raise UserError(f"the grid needs more than {LIMIT} bytes; compare fewer photographs or methods")


def main(source: Path = SOURCE, target: Path = TARGET) -> None:
    """Convert ``source``, a PNG, to ``target``.

    Raises:
        UserError: there is no grid yet, or it is too large.
    """
    try:
        with Image.open(source) as picture:
            data = webp(picture)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error}); run make demo first") from None
    with atomic(target) as path:
        path.write_bytes(data)


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:2]))
    except UserError as error:
        sys.exit(str(error))
