"""Contents of the sample and the files they are written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from atelier.core.config import UserError
from atelier.core.files import atomic
from atelier.datasets.synthetic import fields, gardens, interiors, nights, shores, wilds
from atelier.datasets.synthetic.noise import Field
from atelier.tracking.progress import progress

Recipe = Callable[[np.random.Generator, int], Field]
"""Recipe: draws one picture from its own random numbers, at twice the size it returns."""

LANDSCAPES: tuple[Recipe, ...] = (
    shores.mountain_lake, fields.patchwork, shores.seaside, fields.forest_edge,
    wilds.winter, fields.crops, wilds.dunes, shores.blue_hour,
)  # fmt: skip
PAINTINGS: tuple[Recipe, ...] = (
    nights.starry_night, gardens.wheat_cypress, interiors.sunflowers, gardens.irises,
    nights.cafe, gardens.almond, gardens.olives, gardens.vineyard,
    interiors.sitter, nights.river_night, gardens.harvest, interiors.fruit,
    nights.sower_sun, gardens.poplars, nights.crows, gardens.ravine, interiors.bunch,
)  # fmt: skip

# Folder, beginning of the names and recipes; the place in this list seeds the pictures.
KINDS: tuple[tuple[str, str, tuple[Recipe, ...]], ...] = (
    ("photos/train", "landscape", LANDSCAPES),
    ("photos/test", "view", LANDSCAPES),
    ("paintings", "painting", PAINTINGS),
)
SIZES = (64, 1024)
REAL = Path(__file__).with_name("photographs")
"""Real photographs, test pictures of every sample; see CREDITS.md for their authors."""
CREDITS = "CREDITS.md"


def render_sample(
    folder: Path,
    seed: int = 2026,
    size: int = 256,
    train: int = 24,
    test: int = 8,
    paintings: int = 16,
) -> list[Path]:
    """Render the sample as PNG below ``folder``; files of the same name are replaced.

    Every picture has its own random numbers, so that rendering more changes none. With the same
    library versions the files are identical bit for bit.

    Args:
        folder: gets ``photos/train``, ``photos/test`` and ``paintings``.
        seed: 0 or more.
        size: side of the square pictures in pixels, even, 64 to 1024.
        train: number of landscapes for training.
        test: number of landscapes to stylise.
        paintings: number of paintings.

    Returns:
        The files written: training, test, paintings.

    Raises:
        UserError: for a number out of range, or a folder that cannot be written.
    """
    counts = {"train": train, "test": test, "paintings": paintings}
    _check(folder, seed, size, counts)
    jobs = [(kind, index) for kind, count in enumerate(counts.values()) for index in range(count)]
    shown = progress(jobs, len(jobs), "sample")
    return [write_one(folder, seed, size, kind, index) for kind, index in shown]


def copy_photographs(folder: Path) -> list[Path]:
    """Copy the real photographs below ``folder``, byte for byte, with their credits.

    Returns:
        The photographs written, below ``photos/test``.

    Raises:
        UserError: a folder that cannot be written.
    """
    named = {path: folder / "photos/test" / path.name for path in sorted(REAL.glob("*.jpg"))}
    for source, target in {**named, REAL / CREDITS: folder / CREDITS}.items():
        with _written(target) as part:
            part.write_bytes(source.read_bytes())
    return list(named.values())


def render_one(seed: int, size: int, kind: int, index: int) -> Field:
    """Render picture ``index`` of ``KINDS[kind]``: (size, size, 3) in [0, 1]."""
    recipes = KINDS[kind][2]
    rng = np.random.default_rng([seed, kind, index])
    return recipes[index % len(recipes)](rng, 2 * size)


def write_one(folder: Path, seed: int, size: int, kind: int, index: int) -> Path:
    """Render picture ``index`` of ``KINDS[kind]`` into its file below ``folder``."""
    place, stem, _ = KINDS[kind]
    path = folder / place / f"{stem}_{index:03d}.png"
    pixels = np.rint(render_one(seed, size, kind, index) * 255).astype(np.uint8)
    with _written(path) as part:
        Image.fromarray(pixels).save(part, format="PNG", optimize=True)
    return path


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield the file to write, like ``atomic``; one that cannot be written is a UserError."""
    try:
        with atomic(path) as part:
            yield part
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}); choose another folder") from None


def _check(folder: Path, seed: int, size: int, counts: dict[str, int]) -> None:
    if seed < 0:
        raise UserError(f"sample: seed is {seed}; give a number from 0 up")
    if not SIZES[0] <= size <= SIZES[1] or size % 2:
        raise UserError(
            f"sample: size is {size}; give an even number from {SIZES[0]} to {SIZES[1]}"
        )
    for name, count in counts.items():
        if not 0 <= count <= 1000:
            raise UserError(f"sample: {name} is {count}; give a number from 0 to 1000")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; the sample needs a folder, choose another name")
