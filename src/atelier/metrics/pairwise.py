"""Metrics of pictures paired with their photograph and painting, as means over a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atelier.core import images
from atelier.core.files import within
from atelier.metrics.embeddings import ahead, chunked, same_size
from atelier.metrics.measures import OfPairs, PairBatch, PerceptualNetworks, measures
from atelier.tracking.progress import progress


@dataclass(frozen=True)
class Pair:
    """A stylised picture with its photograph and painting."""

    picture: Path
    photo: Path
    painting: str | None
    """File name of the painting; None for a system that takes none."""


def pair_values(
    networks: PerceptualNetworks, pairs: Sequence[Pair], styles: Mapping[str, Tensor], batch: int
) -> dict[str, Tensor]:
    """Return all that is measured of pairs, float64 (n,) in their order.

    Args:
        networks: networks that compare the pictures.
        pairs: results of one system.
        styles: a painting's file name → its style vector (D,), see ``perceptual.style_vector``.
        batch: pictures at once.

    Returns:
        Means by key, sorted: ``style`` is absent unless every pair has a painting.

    Raises:
        UserError: a picture that cannot be read, or is too small.
    """
    every = torch.stack(list(styles.values()))
    parts = [_score(networks, some, both, styles, every) for some, both in _stacks(pairs, batch)]
    common = set(parts[0]).intersection(*parts)
    return {name: torch.cat([p[name] for p in parts]) for name in sorted(common)}


def _score(
    networks: PerceptualNetworks,
    pairs: Sequence[Pair],
    both: Tensor,
    styles: Mapping[str, Tensor],
    every: Tensor,
) -> dict[str, Tensor]:
    """Return values (b,) of pictures and photographs (b, 2, 3, H, W); ``every`` is (n, D)."""
    result, photo = both.to(networks.device).unbind(1)
    own = [styles[pair.painting] for pair in pairs if pair.painting is not None]
    painting = torch.stack(own) if len(own) == len(pairs) else None
    batch = PairBatch(networks, result, photo, painting, every)
    found = [one.measure(batch).items() for one in measures(OfPairs)]
    return {name: values.double().cpu() for some in found for name, values in some}


def _stacks(pairs: Sequence[Pair], batch: int) -> Iterator[tuple[Sequence[Pair], Tensor]]:
    chunks = chunked(pairs, batch)
    loaded = progress(ahead(_load, chunks), len(chunks), "content and style")
    for chunk, pictures in zip(chunks, loaded, strict=True):
        place = 0
        for stack in same_size(pictures):
            yield chunk[place : place + len(stack)], stack
            place += len(stack)


def _load(pairs: Sequence[Pair]) -> list[Tensor]:
    """Load every pair as (2, 3, H, W)."""
    return [images.load_batch([pair.picture, pair.photo]) for pair in pairs]


def made_pairs(
    folder: Path, photos: Path, made: Mapping[str, str | int], paintings: Sequence[str]
) -> list[Pair]:
    """Return the pictures in ``folder`` paired with their photographs in ``photos``.

    Args:
        folder: holds ``<photo>.png``.
        photos: the same.
        made: photograph → the painting it was paired with, as a setting or a record names it.
        paintings: all file names, sorted.
    """
    return [
        Pair(within(folder, name), within(photos, name), painting_named(style, paintings))
        for name, style in sorted((f"{photo}.png", style) for photo, style in made.items())
    ]


def painting_named(style: str | int, paintings: Sequence[str]) -> str | None:
    """Return the file name of a painting given by name or index, or None."""
    if isinstance(style, int):
        return paintings[style] if style < len(paintings) else None
    return next((name for name in paintings if style in {name, Path(name).stem}), None)
