"""The part of YAML that settings are written in: read as DVC reads it, all else refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from atelier.core.config import UserError
from atelier.core.yaml_tree import read_tree

ROOT = Path(__file__).parents[2]


def read(folder: Path, text: str | bytes) -> object:
    path = folder / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tree(path)


def test_the_values_are_those_that_dvc_reads(tmp_path: Path) -> None:
    """DVC writes 0.00001 as 1e-05, which YAML 1.1 (PyYAML) takes for text."""
    plain = "1 -2 0x1f 0o17 1.5 1e-05 1.0e+5 .5 true False yes on no ~ null 1:30 a_b"
    lines = [f"v{n}: {value}" for n, value in enumerate(plain.split())]
    text = "\n".join([*lines, "empty:", "text: '1'", "list: [1, a, null]", "deep: {a: {b: 2.0}}"])
    found = read(tmp_path, text)
    assert repr(found) == repr(load_yaml(tmp_path / "params.yaml"))
    assert found["v5"] == 1e-5
    assert found["v10"] == "yes"
    assert read(tmp_path, "day: 2026-01-02") == {"day": "2026-01-02"}, "no setting is a date"
    assert repr(read_tree(ROOT / "params.yaml")) == repr(load_yaml(ROOT / "params.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x {b: 1}\nc: *x", r"line 1: anchors and aliases .* `extends: NAME`"),
        ("a: &x [*x]", r"line 1: anchors and aliases"),
        ("a: {b: 1}\nc: {<<: {b: 1}}", r"params.yaml: c: line 2: merges \(<<\) are not read"),
        ("a: 1\nb: {c: 1,\n c: 2}", r"params.yaml: b\.c: line 3: stands twice in this block"),
        ("1: a", r"params.yaml: line 1: '1' is not a name of a setting; names are text on one lin"),
        ('"a\\rb": 1', r"line 1: 'a\\rb' is not a name"),
        ("true: a", r"'true' is not a name"),
        ("? [a, b]\n: c", r"is not a name of a setting"),
        ("a: !!python/object/apply:os.system ['x']", r"a: line 1: tag:yaml.org,2002:python/obj"),
        ("a: !!binary aGk=", r"a: line 1: tag:yaml.org,2002:binary is not read"),
        ("a: !!set {b}", r"a: line 1: tag:yaml.org,2002:set is not read"),
        ("a: !!int abc", r"a: line 1: 'abc' is no int"),
        ("a: !!bool maybe", r"a: line 1: 'maybe' is no bool"),
        ("a: " + "9" * 5000, r"a: line 1: Exceeds the limit"),
        ("a: " + "[" * 100_000, r"line 1: blocks are nested more than 12 deep"),
        ("a: 1\n---\nb: 1", r"cannot be read: expected a single document"),
        ("a: b: c", r"cannot be read: mapping values are not allowed here .*line 1, column 5"),
        ("a: {b: zoo:c}", r"cannot be read: .*found unexpected ':' .*line 1, column 11"),
        ("a: 'b", r"cannot be read: .*quoted scalar"),
        ("a: b: \u07bb", r"cannot be read: .* a: b: � \^$"),  # assigned to no character
        (b"a: caf\xe9", r"cannot be read: 'utf-8' codec can't decode"),
        ("a: 1".encode("utf-16"), r"cannot be read: "),
        ("a: \x00", r"cannot be read: .*special characters are not allowed"),
        ("a: " + "x" * 1_000_000, r"cannot be read: it has 1000003 bytes"),
        ("- a", r"expected a mapping of settings, found list"),
        ("a", r"expected a mapping of settings, found str"),
        ("", r"expected a mapping of settings, found nothing"),
    ],
)
def test_the_rest_of_yaml_is_refused_in_a_sentence(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(UserError, match=message) as got:
        read(tmp_path, text)
    assert len(str(got.value)) < 1000


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as got:
        read(tmp_path, "a: {b: 1, b: 2}\n1: c\nd: !!binary aGk=\na: 3\n")
    assert len(str(got.value).splitlines()) == 4


def test_a_mark_of_byte_order_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfseed: 1") == {"seed": 1}


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: .*Is a directory"):
        read_tree(tmp_path)
