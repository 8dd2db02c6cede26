"""In what a node may not differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from atelier.cluster.node_facts import differences, node_facts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("ATELIER_PROJECT", str(ROOT))
    return node_facts()


def test_a_node_like_this_one_is_taken(here: dict[str, str]) -> None:
    assert here["project"] == str(ROOT)
    assert all(here.values())
    assert differences(here, here, "node") == []


@pytest.mark.parametrize("name", ["atelier", "torch", "dvc"])
def test_another_version_is_a_sentence(here: dict[str, str], name: str) -> None:
    (said,) = differences(here, {**here, name: "0.1"}, "node")
    assert said.startswith(f"node: has another version of {name} (0.1, here {here[name]}); install")
    (said,) = differences(here, {**here, name: ""}, "node")
    assert f"version of {name} (none, here" in said


def test_another_commit_and_no_checkout_are_sentences(
    here: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (said,) = differences(here, {**here, "commit": "0" * 40}, "node")
    assert "is at commit 000000000000, this one at" in said
    monkeypatch.setenv("ATELIER_PROJECT", str(tmp_path))
    (said,) = differences(here, node_facts(), "node")
    assert said.startswith("node: has no checkout of this project; clone it there")
