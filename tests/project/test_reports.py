"""The reports' settings: `docs/reports.md` against scale `full`, and what differs has a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from atelier.core.config import Params
from atelier.engine import validate
from atelier.engine.validate import typed
from atelier.nn.hypernet import MetaNetworks, TransformNet
from support.commands import COMMAND, overridden

ROOT = Path(__file__).parents[2]
FULL = Params.load(ROOT / "params.yaml").at("full")
PAGE = (ROOT / "docs/reports.md").read_text()
SAME = "same"


def table(page: str, columns: int) -> Iterator[list[str]]:
    """Rows that begin with a name in backticks."""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == columns:
            yield cells


PRINTED = {
    (entry.strip("`"), setting.strip("`")): (yaml.safe_load(report), ours, place)
    for entry, setting, report, ours, place in table(PAGE, 5)
}
"""(entry, setting) → the report's value, our cell, where ours is set."""


def ours(entry: str, setting: str, params: Params = FULL) -> Any:
    value = typed(params, entry).model_dump()[setting]
    return list(value) if isinstance(value, tuple) else value


def reasons() -> set[tuple[str, str]]:
    page = (ROOT / "docs/departures.md").read_text().partition("What is no setting")[0]
    rows = [(cells[0].strip("`"), re.findall(r"`(\w+)`", cells[1])) for cells in table(page, 3)]
    return {(entry, setting) for entry, settings in rows for setting in settings}


def test_the_table_covers_every_report() -> None:
    assert len(PRINTED) > 130
    entries = {entry for entry, _ in PRINTED}
    assert entries >= {"gatys", "arbitrary", "cyclegan", "adaattn", "ugatit", "fast_night"}
    assert entries >= {"gatys_lbfgs", *(name for name in FULL.method_names if "metanet" in name)}


@pytest.mark.parametrize(("entry", "setting"), PRINTED)
def test_a_cell_is_what_scale_full_has(entry: str, setting: str) -> None:
    report, cell, place = PRINTED[entry, setting]
    found = ours(entry, setting)
    if cell == SAME:
        assert found == report
    else:
        assert found == yaml.safe_load(cell) != report
    written = setting in FULL.places(entry)
    assert place == ("`params.yaml`" if written else "a default")


def test_every_difference_has_its_reason_and_no_reason_is_left_over() -> None:
    differing = {key for key in PRINTED if ours(*key) != PRINTED[key][0]}
    assert differing == reasons()


COMMANDS = COMMAND.findall(PAGE)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_those_of_valid_settings(tmp_path: Path, command: str) -> None:
    params = overridden(command, tmp_path)
    assert params.scale == "full"
    assert validate.problems(params) == []
    (stage,) = re.findall(r"train@(\w+)", command)
    assert stage in params.method_names
    assert params.method(stage) != FULL.method(stage)


def test_the_command_of_report_3_gives_its_settings(tmp_path: Path) -> None:
    assert len(COMMANDS) == 2
    params = overridden(COMMANDS[0], tmp_path)
    wanted = {key: value for (entry, key), (value, *_) in PRINTED.items() if entry == "fast_night"}
    assert {key: ours("fast_night", key, params) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("entry", "parameters", "size", "cost"),
    [
        ("metanet_original", 217_655_811, 850.2, 10.3),
        ("metanet_improved", 165_835_139, 647.8, 27.8),
        ("metanet_a", 165_835_139, 647.8, 27.8),
        ("metanet_b", 217_655_811, 850.2, 10.3),
        ("metanet_c", 165_835_139, 647.8, 27.8),
    ],
)
def test_metanets_files_and_costs_are_the_reports(
    entry: str, parameters: int, size: float, cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """850 and 647 MB in the report, in units in which the original's numbers are 850."""
    # on a CPU the last convolution also multiplies by zeros, to be faster
    monkeypatch.setattr("atelier.nn.picture_conv.eager_on_cpu", lambda _: False)
    s = typed(FULL, entry)
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        transformer = TransformNet(s.width, s.middle, s.padding, s.branches, s.branch_width)
        networks = MetaNetworks(transformer, 1920, s.hidden)
        networks(torch.zeros(1, 3, 256, 256), torch.zeros(1, 1920))
    count = sum(p.numel() for p in networks.parameters())
    assert count == parameters
    assert round(4 * count / 1_024_000, 1) == size
    assert round(counter.get_total_flops() / 2e9, 1) == cost
