"""``atelier check | params``: validation of ``params.yaml``, and the settings of an entry.

Heavy imports are deferred so that ``atelier --help`` is instant.
"""

from __future__ import annotations

from typing import Annotated

import typer

from atelier.core.config import Params, project_root
from atelier.core.settings import shown

DEFAULT = "default of the class"


def check() -> None:
    """Find mistakes in params.yaml, in every block at every scale; exit code 1 if any."""
    from atelier.engine import validate  # noqa: PLC0415

    path = project_root() / "params.yaml"
    validate.check(path)
    params = Params.load(path)
    names, scales = len(params.method_names), ", ".join(params.scales)
    typer.echo(f"params.yaml: {names} methods at the scales {scales}: no mistakes found")


def params(
    method: Annotated[str, typer.Argument(help="Entry of `methods`, or a step such as denoise.")],
    scale: Annotated[str | None, typer.Option(help="Default: the scale in force.")] = None,
) -> None:
    """Print the settings of a method or a step, their purposes, and the blocks they are set in.

    A change of a setting used to `train` trains anew; one used to `apply` only makes new pictures;
    one used to `run` re-runs nothing.
    """
    from atelier.reports.tables import aligned  # noqa: PLC0415

    found = Params.load()
    found = found.at(scale) if scale else found
    typer.echo(f"{method} at scale {found.scale}")
    typer.echo(aligned(["setting", "value", "used to", "from"], settings_rows(found, method)))


def settings_rows(params: Params, name: str) -> list[list[str]]:
    """Return (setting, value, purpose, origin) of an entry or a step: those set, then defaults.

    Raises:
        UserError: no such entry, or invalid settings.
    """
    from atelier.engine.validate import purposes_of, typed  # noqa: PLC0415

    places, checked, to = params.places(name), typed(params, name), purposes_of(params, name)
    rows = [
        [key, shown(value), to.get(key, ""), _origin(place, params, name)]
        for (key, value), place in zip(params.settings(name).items(), places.values(), strict=True)
    ]
    left = {key: value for key, value in checked.model_dump().items() if key not in places}
    return rows + [[key, shown(value), to[key], DEFAULT] for key, value in left.items()]


def _origin(place: str, params: Params, name: str) -> str:
    """Return the block, marked if it is inherited."""
    own = {name, f"methods.{name}", f"scales.{params.scale}.{name}"}
    return place if place in own else f"{place} (extended)"


COMMANDS = (check, params)
"""Commands, in the order of `--help`."""
