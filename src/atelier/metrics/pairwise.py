"""Metrics of pictures paired with their photograph and painting, as means over a set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from atelier.core import images
from atelier.core.files import within
from atelier.metrics.embeddings import Stack, ahead, chunked, same_size
from atelier.metrics.measures import OfPairs, PairBatch, PerceptualNetworks, measures
from atelier.tracking.progress import progress


@dataclass(frozen=True)
class Pair:
    """A stylised picture with its photograph and painting."""

    picture: Path
    photo: Path
    painting: str | None
    """File name of the painting; None for a system that takes none."""


Vectors = Callable[[Stack], Tensor]
"""(b, d) of b pictures."""


def pair_values(
    networks: PerceptualNetworks,
    pairs: Sequence[Pair],
    styles: Mapping[str, Tensor],
    batch: int,
    textures: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return all that is measured of pairs, float64 (n,) in their order; see ``set_values``."""
    ((found, _),) = set_values(networks, [pairs], styles, batch, _no_vectors, textures)
    return found


def _no_vectors(stack: Stack) -> Tensor:
    return stack.image.flatten(1)[:, :0]


def set_values(
    networks: PerceptualNetworks,
    sets: Sequence[Sequence[Pair]],
    styles: Mapping[str, Tensor],
    batch: int,
    embed: Vectors,
    textures: Mapping[str, Tensor] | None = None,
    reference: Collection[str] | None = None,
) -> list[tuple[dict[str, Tensor], Tensor]]:
    """Return all that is measured of every set's pairs, and vectors of its pictures.

    Each file is read once, and each network sees each picture once.

    Args:
        networks: networks that compare the pictures.
        sets: results of one system, of the same photographs in the same order.
        styles: a painting's file name → its style vector (D,), see ``perceptual.style_vector``.
        batch: pictures of a set at once.
        embed: see ``Vectors``.
        textures: a painting's file name → ``sifid.texture_sums`` of it, (K,).
        reference: names of the paintings of the reference set; None: all in ``styles``.

    Returns:
        For each set what all its pairs have, float64 (n,) by key, sorted (``style`` is absent
        unless every pair has a painting), and (n, d).

    Raises:
        UserError: a picture that cannot be read, or is too small.
    """
    every = torch.stack([styles[name] for name in reference or styles])
    parts: list[list[dict[str, Tensor]]] = [[] for _ in sets]
    vectors: list[list[Tensor]] = [[] for _ in sets]
    for some, results, photo in _stacks(networks.device, sets, batch):
        for number, (pairs, result) in enumerate(zip(some, results, strict=True)):
            painting, texture = (_own(pairs, known) for known in (styles, textures or {}))
            measured = PairBatch(networks, result, photo, painting, every, texture)
            parts[number].append(_score(measured))
            vectors[number].append(embed(result).cpu())
    values = [_joined(found) for found in parts]
    return list(zip(values, map(torch.cat, vectors), strict=True))


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    common = set(parts[0]).intersection(*parts)
    return {name: torch.cat([p[name] for p in parts]) for name in sorted(common)}


def _own(pairs: Sequence[Pair], known: Mapping[str, Tensor]) -> Tensor | None:
    """What is known of the pairs' paintings, (b, …); None unless every pair has one."""
    own = [known[pair.painting] for pair in pairs if pair.painting is not None and known]
    return torch.stack(own) if len(own) == len(pairs) else None


def _score(batch: PairBatch) -> dict[str, Tensor]:
    """Values (b,) of all that is measured of pairs."""
    found = [one.measure(batch).items() for one in measures(OfPairs)]
    return {name: values.double().cpu() for some in found for name, values in some}


Row = tuple[Pair, ...]
"""What the sets have of one photograph."""


def _stacks(
    device: str, sets: Sequence[Sequence[Pair]], batch: int
) -> Iterator[tuple[list[list[Pair]], list[Stack], Stack]]:
    """Some pairs of every set, their results, and the photographs of all."""
    # A set of untouched photographs is not looked at twice.
    same = [all(pair.picture == pair.photo for pair in pairs) for pairs in sets]
    chunks = chunked(list(zip(*sets, strict=True)), batch)
    load = partial(_load, same)
    loaded = progress(ahead(load, chunks), len(chunks), "content and style")
    for chunk, pictures in zip(chunks, loaded, strict=True):
        place = 0
        for stack in same_size(pictures):
            rows = chunk[place : place + len(stack)]
            place += len(stack)
            *others, photo = (Stack(one.contiguous().to(device)) for one in stack.unbind(1))
            made = iter(others)
            results = [photo if one else next(made) for one in same]
            yield [list(pairs) for pairs in zip(*rows, strict=True)], results, photo


def _load(same: Sequence[bool], rows: Sequence[Row]) -> list[Tensor]:
    """What the sets made of every photograph, then itself, (k, 3, H, W); a file is read once."""
    return [
        images.load_batch(
            [*(pair.picture for pair, one in zip(row, same, strict=True) if not one), row[0].photo]
        )
        for row in rows
    ]


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
