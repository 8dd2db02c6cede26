"""``atelier votes``: people's votes as CSV, and what they say.

Heavy imports are deferred so that ``atelier --help`` is instant.
"""

from __future__ import annotations

from typing import Annotated

import typer

from atelier.core.config import Params, project_root


def votes(
    csv: Annotated[bool, typer.Option("--csv", help="Print all votes as CSV instead.")] = False,
) -> None:
    """Print what people prefer by the votes of the dashboard, and which metric agrees with them."""
    from atelier.reports import leaderboard, preferences, tables, votes  # noqa: PLC0415

    root, params = project_root(), Params.load()
    votes.export(root)
    known = votes.read(root)
    if csv:
        typer.echo(votes.to_csv(known), nl=False)
        return
    study = preferences.study(root, params.method_names, known)
    frame = leaderboard.comparison(root, params)
    parts = ["\n".join(study.summary(params.method_names)) or NONE]
    strengths, agreement = preferences.ranking(study), preferences.table(study, frame)
    if len(strengths):
        parts.append(tables.columns(strengths))
    if len(agreement):
        parts += [preferences.MEANING, tables.columns(agreement)]
    typer.echo("\n\n".join(parts))


NONE = "no votes yet; `make dashboard`, page Vote"
COMMANDS = (votes,)
"""Commands, in the order of `--help`."""
