"""The DVC remote that all nodes of a cluster reach."""

from __future__ import annotations

import configparser
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from atelier.cluster.dvc import LOGS, Dvc
from atelier.core.config import UserError
from atelier.core.files import atomic

OPTIONS = ("url", "endpointurl", "region", "profile", "port")
"""Options that are sent to the nodes. Keys and passwords are not: every node has its own."""
WITHOUT_RUN_CACHE = ("http", "https")
ADVICE = (
    "name one that all machines reach: dvc remote add --local --default shared s3://BUCKET/PATH "
    "(or a folder on shared storage)"
)
LOCAL = Path(".dvc/config.local")


@dataclass(frozen=True)
class Remote:
    """The project's default remote."""

    name: str
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"the shared remote `{self.name}` ({self.options['url']})"

    def write(self, project: Path, cache: Path, known: Path) -> None:
        """Make it the default remote of the checkout ``project``, by its ``.dvc/config.local``.

        Args:
            project: a checkout.
            cache: folder for DVC's cache, unless the settings of this machine name one.
            known: ``.dvc/config.local`` of this machine, with its keys and passwords.
        """
        found = configparser.ConfigParser(interpolation=None, strict=False)
        found.read([known])
        remote = f"'remote \"{self.name}\"'"
        for section in ("core", "cache", remote):
            if not found.has_section(section):
                found.add_section(section)
        found["core"]["remote"] = self.name
        found["cache"].setdefault("dir", str(cache))
        found[remote].update({**self.options, **found[remote]})
        with atomic(project / LOCAL) as part, part.open("w", encoding="utf-8") as file:
            found.write(file)


def shared_remote(dvc: Dvc) -> Remote:
    """Return the project's default remote.

    Raises:
        UserError: there is none, it lies within the project, or DVC keeps no run cache there.
    """
    log = LOGS / "remote.log"
    if dvc.run(["config", "--list"], log):
        raise UserError(f"DVC's settings cannot be read; see {log}")
    lines = (dvc.root / log).read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    name = settings.get("core.remote")
    url = settings.get(f"remote.{name}.url", "")
    if not name or not url:
        raise UserError(f"the project has no default remote; {ADVICE}")
    if dvc.root.resolve() in (Path(url), *Path(url).parents):
        raise UserError(f"the default remote `{name}` lies within the project; {ADVICE}")
    if urlsplit(url).scheme in WITHOUT_RUN_CACHE:
        raise UserError(f"the default remote `{name}` is HTTP: no run cache there; {ADVICE}")
    found = {key: settings.get(f"remote.{name}.{key}", "") for key in OPTIONS}
    return Remote(name, {key: value for key, value in found.items() if value})
