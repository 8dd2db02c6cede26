"""``atelier stylize --ray``: any number of pictures on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from atelier.cluster.ray_cluster import connected
from atelier.core.config import UserError
from atelier.core.structure import Precision
from atelier.serving.folders import StylizeOptions
from atelier.serving.portable import PortableMethod
from atelier.serving.saved_method import here
from atelier.tracking.progress import progress


def stylize_on_cluster(
    address: str,
    pictures: Sequence[str],
    out: str,
    names: Sequence[str],
    options: StylizeOptions,
    precision: Precision,
    workers: int | None,
    on_message: Callable[[str], None],
) -> int:
    """Stylise the pictures at one address with every method; return the number of failures.

    Results that are there already are not made again.

    Args:
        address: of the cluster, see ``connected``.
        pictures: one folder or picture, also ``s3://…``.
        out: folder for the results.
        names: of the methods.
        options: of the stylisation.
        precision: of the convolutions.
        workers: actors; default: one per GPU or core.
        on_message: callback for a message about every picture that failed.

    Raises:
        UserError: no Ray, no cluster, a node with another version, no pictures, or a method that
            cannot be applied so.
    """
    if len(pictures) > 1:
        raise UserError("with --ray, give one folder or one address of pictures")
    (source,) = pictures
    root, params = here()
    methods = [PortableMethod.read(root, params, name, options, precision) for name in names]
    failed = 0
    with connected(address, root):
        from atelier.cluster import ray_pictures, ray_tasks  # noqa: PLC0415 - import Ray, an extra

        ray_tasks.refuse_other_versions()
        for method in methods:
            name = options.look.label(method.recipe.name)
            jobs, count = ray_pictures.find_jobs(source, out, name)
            if len(jobs) < count:
                on_message(f"{name}: {count - len(jobs)} of {count} results are in {out} already")
            if not jobs:
                continue
            made = ray_pictures.make_pictures(jobs, method.load, source, out, workers)
            for error in progress(made, len(jobs), f"stylize {name}"):
                if error:
                    failed += 1
                    on_message(error)
    return failed
