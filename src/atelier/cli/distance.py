"""``atelier distance``: Fréchet and kernel distance between two sets of pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atelier.cli.options import RayAddress, Workers, warn
from atelier.core.config import Params, UserError

if TYPE_CHECKING:
    from atelier.cluster.embedded_set import Machines
    from atelier.metrics.evaluator import EvaluateSettings

Address = Annotated[str, typer.Argument(help="A folder, or an address such as s3://bucket/folder.")]


def distance(
    reference: Address,
    pictures: Address,
    features: Annotated[
        str | None, typer.Option(help="Network; default: evaluate.features, or mini.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="Crop all to squares of this side; default: as is.")
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(help="Folder or address that keeps the vectors; needed with --ray."),
    ] = None,
    ray: RayAddress = None,
    workers: Workers = None,
) -> None:
    """Print the Fréchet and the kernel distance between two sets of pictures of any size, as JSON.

    Fréchet is the FID with --features inception_fid only. With --vectors, a picture is embedded
    once: an interrupted run resumes, and other sets are compared with the same reference at once.

    atelier distance paintings out --size 256

    atelier distance s3://bucket/a s3://bucket/b --vectors s3://bucket/vectors --ray auto
    """
    from atelier.cluster.set_distances import set_distances  # noqa: PLC0415
    from atelier.cluster.vector_shards import Embedding  # noqa: PLC0415
    from atelier.core.device import pick_device  # noqa: PLC0415
    from atelier.metrics.evaluator import evaluation_features  # noqa: PLC0415
    from atelier.serving.saved_method import here  # noqa: PLC0415

    if ray and not vectors:
        raise UserError("with --ray, name a folder or address that all nodes reach: --vectors")
    _, params = here()
    settings = _settings(params, features)
    device = None if ray else pick_device(params)
    network = evaluation_features(settings, device or "cpu")
    embedding = Embedding(network, size, settings.batch, device)
    with _machines(ray, workers) as machines, TemporaryDirectory() as folder:
        store = vectors or folder
        found = set_distances(reference, pictures, store, embedding, machines, warn)
    typer.echo(json.dumps(found, indent=2))


def _settings(params: Params | None, features: str | None) -> EvaluateSettings:
    """Return the settings of the project's evaluation, with another network if one is given."""
    from atelier.metrics.evaluator import EvaluateSettings  # noqa: PLC0415

    block: dict[str, Any] = {"features": "mini"}
    if params and "evaluate" in params:
        block = params.scaled("evaluate")
    if features:
        block = {**block, "features": features, "layer": None, "fallback_features": None}
    return EvaluateSettings.build(block, "evaluate", params.places("evaluate") if params else {})


@contextmanager
def _machines(address: str | None, workers: int | None) -> Iterator[Machines]:
    if address is None:
        from atelier.cluster.embedded_set import HERE  # noqa: PLC0415

        yield HERE
        return
    from atelier.cluster.ray_cluster import connected  # noqa: PLC0415

    with connected(address):
        from atelier.cluster import ray_pictures, ray_tasks  # noqa: PLC0415 - import Ray, an extra

        ray_tasks.refuse_other_versions()
        yield ray_pictures.machines(workers)
