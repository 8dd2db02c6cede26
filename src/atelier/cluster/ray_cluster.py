"""Connection to a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from atelier.cluster.node_facts import PROJECT
from atelier.core.config import UserError
from atelier.core.process import interrupt_on_sigterm

ADDRESS = "RAY_ADDRESS"
"""Ray's environment variable for the address of a cluster."""
MODE = "RAY_AUTH_MODE"
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Ray's environment variables for the token that a cluster may ask for."""
TOKEN = Path(".ray/auth_token")
"""Its default place in a user's folder."""


def _bring_token(address: str) -> str:
    """Have a token sent to a cluster from outside: unlike a node, Ray's client needs to be told.

    Return what to do if there is none and the cluster asks for it; "" otherwise.
    """
    if not address.startswith("ray://"):
        return ""
    if any(os.environ.get(name) for name in TOKENS) or (Path.home() / TOKEN).is_file():
        os.environ.setdefault(MODE, "token")
        return ""
    return f"; if it asks for a token, copy its machine's ~/{TOKEN} here"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; Ray's have many."""
    return str(error).strip().partition("\n")[0]


def inside_address(asked_by: str) -> str:
    """Return the address of the cluster that this machine is part of, for a stage.

    Args:
        asked_by: the setting that needs it, for messages.

    Raises:
        UserError: ``RAY_ADDRESS`` is that of a cluster's entrance.
    """
    address = os.environ.get(ADDRESS) or "auto"
    if "://" in address:
        raise UserError(
            f"{asked_by}: {ADDRESS}={address}: this machine has to be one of the nodes; give "
            "HOST:PORT, or use `atelier fan-out --ray`"
        )
    return address


@contextmanager
def connected(address: str, project: Path | None = None, asked_by: str = "--ray") -> Iterator[None]:
    """Connect to a Ray cluster; disconnect at the end, which ends a cluster of ``local``.

    Args:
        address: ``auto``, ``local`` (a cluster of this machine alone), ``HOST:PORT`` or ``ray://…``.
        project: the checkout for nodes that ``local`` starts.
        asked_by: the option or setting that needs it, for messages.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    if find_spec("ray") is None:
        raise UserError(f"{asked_by} needs Ray; install it: pip install -e '.[cluster]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    hint = _bring_token(address)
    import ray  # noqa: PLC0415 - an extra

    options: dict[str, Any] = {}
    if address == "local":
        options = {"include_dashboard": False}
        if project:
            os.environ[PROJECT] = str(project)
    try:
        ray.init(address, logging_level="ERROR", log_to_driver=False, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UserError(
            f"{asked_by}: no cluster at {address} ({first_line(error)}){hint}"
        ) from None
    interrupt_on_sigterm()  # Ray has replaced the handler
    try:
        yield
    finally:
        ray.shutdown()
