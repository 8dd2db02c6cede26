"""Fréchet and kernel distance between two sets of pictures of any size, from their shards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from atelier.cluster.embedded_set import EmbeddedSet, Machines, OnMessage, embed_set
from atelier.cluster.storage import find_pictures
from atelier.cluster.vector_shards import Embedding
from atelier.metrics.kid import draw_subsets, subset_distance
from atelier.metrics.statistics import frechet_from


def set_distances(
    reference: str,
    generated: str,
    store: str,
    embedding: Embedding,
    machines: Machines,
    on_message: OnMessage,
) -> dict[str, Any]:
    """Return both distances, the sizes of the sets and the network, named as in an evaluation.

    The Fréchet distance is that of the sums over all vectors. The kernel distance is that of
    ``kid.kernel_distance``, with the same subsets: at most ``SUBSETS`` × ``LARGEST`` vectors of a
    set are in memory.

    Args:
        reference: address of a folder or a picture.
        generated: address of the pictures to compare with it.
        store: address of the folder for vectors, see ``embed_set``.
        embedding: of every picture.
        machines: where the work is done.
        on_message: callback for a message about every picture that cannot be read.

    Raises:
        UserError: see ``find_pictures`` and ``embed_set``; or a set has fewer than two pictures.
    """
    sets = [find_pictures(address) for address in (reference, generated)]
    a, b = (embed_set(pictures, store, embedding, machines, on_message) for pictures in sets)
    network = embedding.features
    return {
        "frechet": frechet_from(a.statistics, b.statistics),
        **_kernel_distance(a, b, machines),
        "n_reference": a.statistics.count,
        "n_generated": b.statistics.count,
        "features": network.name,
        "features_hash": network.hash,
        "layer": network.embedding,
    }


def _kernel_distance(a: EmbeddedSet, b: EmbeddedSet, machines: Machines) -> dict[str, float]:
    drawn = draw_subsets(a.statistics.count, b.statistics.count)
    (x, rows), (y, others) = (
        _drawn_rows(one, subsets, machines) for one, subsets in zip((a, b), drawn, strict=True)
    )
    return subset_distance(x, y, (rows, others))


def _drawn_rows(one: EmbeddedSet, subsets: Tensor, machines: Machines) -> tuple[Tensor, Tensor]:
    """Return the vectors that are in a subset, and the subsets' places among these."""
    wanted, places = torch.unique(subsets, return_inverse=True)
    return one.rows(wanted, machines), places
