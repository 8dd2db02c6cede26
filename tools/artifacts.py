"""Write the trained methods as DVC's artifacts into ``models/dvc.yaml``; ``make tree``.

    python -m tools.artifacts

DVC's ``artifacts`` do not support foreach, so the file has a line per method. Its description is
that of the README's table.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tools.tree import renew

from atelier.core.config import Params, UserError
from atelier.core.extends import CLASS
from atelier.methods.base import method_class
from atelier.methods.trained import Trained

ROOT = Path(__file__).parents[1]
PAGE = Path("models/dvc.yaml")
BEGIN, END = (f"<!-- --8<-- [{word}:entries] -->\n" for word in ("start", "end"))
HEAD = """\
# Models in DVC's sense: card and weights of every trained method; written by `make tree`.
artifacts:
"""


def entries(readme: str) -> dict[str, str]:
    """Return entry → system, of the README's table.

    The first cell of a row names the entries; ``_a`` behind ``net_one`` is short for ``net_a``.

    Raises:
        UserError: the table's marks are missing.
    """
    _, begin, rest = readme.partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not begin or not end:
        raise UserError("README.md: the marks of the table of entries are missing")
    found = {}
    for row in table.splitlines():
        names, system, *_ = (cell.strip() for cell in row.strip("|").split("|"))
        named = re.findall("`([^`]+)`", names)
        for name in named:
            stem = named[0].partition("_")[0] if name.startswith("_") else ""
            found[stem + name] = system
    return found


def main(root: Path = ROOT) -> str:
    """Return the file as it should be.

    Raises:
        UserError: a trained method has no line in the README's table.
    """
    params = Params.load(root / "params.yaml")
    systems = entries((root / "README.md").read_text(encoding="utf-8"))
    blocks = {name: params.method(name) for name in params.method_names}
    trained = [
        name for name, block in blocks.items() if issubclass(method_class(block[CLASS]), Trained)
    ]
    if missing := [name for name in trained if name not in systems]:
        raise UserError(f"README.md: the table of entries has no line for {', '.join(missing)}")
    return HEAD + "".join(f"  {name}: {_artifact(name, systems[name])}\n" for name in trained)


def _artifact(name: str, system: str) -> str:
    about = json.dumps(system, ensure_ascii=False)
    return f"{{path: ../results/models/{name}, type: model, desc: {about}}}"


if __name__ == "__main__":
    renew(ROOT / PAGE, main)
