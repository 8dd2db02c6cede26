"""Systems without an entry in params.yaml: the page's command adds one, and it is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from atelier.core.config import Params
from atelier.engine import validate
from support.commands import COMMAND, overridden
from support.contract import OPTIONAL
from support.scripts import ROOT

PARAMS = Params.load(ROOT / "params.yaml")
ADDS = re.compile(r"\+methods\.(\w+)\.class=(\w+)")
COMMANDS = {
    found.groups(): command
    for command in COMMAND.findall((ROOT / "docs/methods.md").read_text())
    if (found := ADDS.search(command))
}
"""(entry, its class) → the command of the page that adds it."""


def test_every_optional_system_has_its_command() -> None:
    assert [system for _, system in COMMANDS] == [*OPTIONAL]


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "system"), COMMANDS)
def test_the_command_adds_a_valid_entry_and_changes_no_other(
    tmp_path: Path, entry: str, system: str
) -> None:
    params = overridden(COMMANDS[entry, system], tmp_path)
    assert validate.problems(params) == []
    assert params.method_names == [*PARAMS.method_names, entry]
    for scale in params.scales:
        found = validate.resolved(params.at(scale))
        added = found.pop(entry)
        assert added["train"]["class"] == system
        assert added["code"].keys() == {"train", "stylize"}
        assert found == validate.resolved(PARAMS.at(scale))
