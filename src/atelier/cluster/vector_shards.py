"""Feature vectors of any number of pictures, by shards in a folder or an object store.

A shard is a run of consecutive names and one file of vectors, named by a digest of all that they
depend on: what is there need not be embedded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atelier.cluster.storage import local_copy, put
from atelier.core import images
from atelier.core.config import UserError
from atelier.core.device import pick_device
from atelier.metrics.embeddings import ahead, chunked, same_size
from atelier.metrics.tensor_file import load_with_digest, save_with_digest
from atelier.nn.pretrained.features import Features

SKIPPED = "skipped"
"""Key of the messages about a shard's unreadable pictures, in its file's metadata."""
VERSIONS = ("ETag", "LastModified", "mtime")
"""What tells two contents of one name apart, in a file system's details of a file."""


@dataclass(frozen=True)
class Embedding:
    """How a picture becomes a vector; picklable."""

    features: Features
    size: int | None
    """Side of the square that pictures are cropped to; None: as they are."""
    batch: int
    device: str | None = None
    """None: a GPU where there is one."""

    def key(self) -> str:
        """Return what vectors depend on besides the pictures."""
        network = self.features
        return f"{network.name} {network.hash} {network.embedding} {self.size}"

    def load(self, path: Path) -> Tensor:
        """Read a picture, (3, H, W) in [0, 1]."""
        if self.size is None:
            return images.load(path)
        return images.to_tensor(images.resize(images.read(path), self.size))


@dataclass(frozen=True)
class Shard:
    """Pictures, as paths of their file system, and the file of their vectors."""

    pictures: list[str]
    target: str


def name_of(embedding: Embedding, pictures: Sequence[dict[str, Any]]) -> str:
    """Return the file name of the vectors of pictures, given by their file system's details."""
    found = hashlib.sha256(embedding.key().encode())
    for facts in pictures:
        version = [str(facts[key]) for key in VERSIONS if key in facts]
        found.update(json.dumps([facts["name"], facts["size"], *version]).encode())
    return f"{found.hexdigest()[:32]}.safetensors"


class Embedder:
    """Writes the vectors of shards; an actor on a cluster."""

    def __init__(self, embedding: Embedding, source: Any, store: Any) -> None:
        self.embedding, self.source, self.store = embedding, source, store
        self.device = embedding.device or pick_device(None)
        self.features = embedding.features.to(self.device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embed shards, given by the columns of ``Shard``; return why each failed, or ""."""
        rows = zip(batch["pictures"], batch["target"], strict=True)
        errors = [self._try([*map(str, pictures)], str(target)) for pictures, target in rows]
        return {"error": np.array(errors, dtype=object)}

    def _try(self, pictures: list[str], target: str) -> str:
        """Embed one; a picture that cannot be fetched fails it, as it may be there later."""
        try:
            self._one(pictures, target)
        except (UserError, OSError) as error:
            return str(error)
        return ""

    def _one(self, pictures: list[str], target: str) -> None:
        layer = self.features.embedding
        found, skipped = [torch.empty(0, self.features.channels[layer])], list[str]()
        for loaded, messages in ahead(self._load, chunked(pictures, self.embedding.batch)):
            stacks = same_size(loaded)
            found += [self.features.embed(stack.to(self.device)).cpu().float() for stack in stacks]
            skipped += messages
        with TemporaryDirectory() as folder:
            file = Path(folder, "vectors")
            save_with_digest({"vectors": torch.cat(found)}, file, {SKIPPED: json.dumps(skipped)})
            put(self.store, file, target)

    def _load(self, pictures: Sequence[str]) -> tuple[list[Tensor], list[str]]:
        """Return the pictures that can be read, and messages about the others."""
        loaded, skipped = list[Tensor](), list[str]()
        with TemporaryDirectory() as folder:
            for path in pictures:
                try:
                    loaded.append(self.embedding.load(local_copy(self.source, path, Path(folder))))
                except images.ImageError as error:
                    skipped.append(f"{path}: {error.reason}")
        return loaded, skipped


Arguments = tuple[Embedding, Any, Any]
"""Of ``Embedder``."""


def read_shard(store: Any, target: str) -> tuple[Tensor, list[str]]:
    """Return the vectors (n, d) of a shard's file, and messages about its unreadable pictures.

    Raises:
        UserError: the file is broken.
    """
    with TemporaryDirectory() as folder:
        local = local_copy(store, target, Path(folder))
        tensors, about = load_with_digest(local, f"remove {target} and repeat the command")
    return tensors["vectors"], json.loads(about[SKIPPED])
