"""Every block at every scale meets its typed settings, its networks and its layers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from atelier.core.config import Params, UserError
from atelier.core.settings import nearest
from atelier.core.structure import STEPS, method_files
from atelier.core.yaml_tree import read_tree
from atelier.engine import validate
from atelier.methods.base import method_class
from atelier.nn.pretrained.features import NAMES
from support import settings_file
from support.cli import atelier
from support.settings import leaves

ROOT = Path(__file__).parents[2]
TREE = read_tree(ROOT / "params.yaml")


def changed(path: str, value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    *blocks, last = path.split("/")
    place = tree
    for key in blocks:
        place = place[key]
    place[last] = value
    return tree


def test_networks_and_layers_of_later_phases_are_looked_up(tmp_path: Path) -> None:
    then = [{"steps": 1}, {"loss_features": "vgg91"}]
    block = {"class": "adain", "features": "mini", "steps": 1, "then": then}
    tree = {
        "scale": "demo",
        "seed": 1,
        "methods": {"adain": block},
        "scales": {"demo": {"adain": None}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    (found,) = validate.block_problems(Params.load(tmp_path / "params.yaml"), "adain")
    assert "methods.adain.then: [1]: loss_features: " in found
    assert "vgg91" in found


def test_the_project_has_no_mistakes() -> None:
    assert validate.problems(Params(TREE)) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # wherever it stands and whether it is used: the scale in force is demo
        ("methods/ugatit/light", "../../etc/passwd", "methods.ugatit.light: has to be true or fal"),
        ("methods/adain/strength", True, "methods.adain.strength: has to be a number (found true)"),
        ("methods/fast_night/lr", "1e-3", "methods.fast_night.lr: has to be a number (found '1e-"),
        ("methods/fast_night/lr", 1e6, "methods.fast_night.lr: has to be at most 1000 (found 1000"),
        ("scales/cpu/cut/crop", 10**12, "scales.cpu.cut.crop: has to be at most 8192"),
        ("scales/full/cut/batch", 10**13, "scales.full.cut.batch: has to be at most 1024"),
        ("scales/full/cut/workers", 10**13, "scales.full.cut.workers: has to be at most 256"),
        ("scales/demo/cut/snapshots", 10**13, "scales.demo.cut.snapshots: has to be at most 1000"),
        ("scales/demo/cut/steps", "1e1", "scales.demo.cut.steps: has to be a whole number (found"),
        ("scales/demo/cut/step", 10, "scales.demo.cut.step: no such setting; did you mean `steps`"),
        ("scales/cpu/metanet_original/style_every", -1, "scales.cpu.metanet_original.style_every"),
        ("scales/full/fast_night/style", True, "scales.full.fast_night.style: has to be text or a"),
        ("scales/cpu/prepare/size", 0, "scales.cpu.prepare.size: has to be greater than or equal"),
        ("prepare/resize", "krop", "prepare.resize: has to be 'crop', 'fit' or 'stretch'; did you"),
        (
            "denoise/on",
            ["gatis"],
            "denoise.on: 'gatis' is not an entry of methods; did you mean `gatys`?",
        ),
        ("denoise/patience", 3, "scales.demo.denoise: patience watches whole pictures"),
        (
            "compare/sort",
            "freshet",
            "compare.sort: 'freshet' is not a column of numbers; did you m",
        ),
        ("compare/champion", "name", "compare.champion: 'name' is not a column of numbers"),
        ("compare/champion", "preference_overall", "compare.champion: 'preference_overall' is not"),
        ("scales/full/evaluate/lpips", "vgg61", "scales.full.evaluate.lpips: 'vgg61' is not a net"),
        ("scales/full/gatys/features", "vgg61", "scales.full.gatys.features: 'vgg61' is not a net"),
        ("scales/cpu/evaluate/fallback_features", "vgg", "scales.cpu.evaluate.fallback_features"),
        ("scales/full/gatys/style_layers", [], "scales.full.gatys.style_layers: "),
        ("scales/full/gatys/style_layers", "relu1_1", "scales.full.gatys.style_layers: has to be"),
        ("scales/full/gatys/style_layers", ["relu3_4"], "scales.full.gatys.style_layers: vgg16 ha"),
        ("scales/cpu/arbitrary/predictor_layer", "relu9", "scales.cpu.arbitrary.predictor_layer: "),
        ("scales/cpu/arbitrary/style_layer_weights", [1.0], "scales.cpu.arbitrary.style_layer_wei"),
        (
            "scales/demo/nnst/layers",
            ["relu9"],
            "scales.demo.nnst.layers: mini has no layer 'relu9'",
        ),
        ("scales/full/fast_night/style", -3, "scales.full.fast_night.style: has to be"),
        ("scales/demo/wct/extend", "adain", "scales.demo.wct.extend: no such setting; did you mea"),
        ("scales/demo/cut/accumulate", 2, "scales.demo.cut.batch: 1 pictures cannot be divided i"),
        ("devices", 2, "scales.demo.cyclegan.batch: 1 pictures cannot be divided into 2 devices"),
    ],
)
def test_a_mistake_is_named_with_its_block(path: str, value: Any, message: str) -> None:
    found = validate.problems(Params(changed(path, value)))
    assert any(line.startswith(f"params.yaml: {message}") for line in found), found


def test_a_wrong_type_hides_no_other_mistake_of_its_block() -> None:
    tree = changed("methods/gatys/content_weight", "2")
    tree["scales"]["full"]["gatys"] |= {"features": "nonsense", "steps": -1}
    found = validate.problems(Params(tree))
    expected = f"'nonsense' is not a network{nearest('nonsense', NAMES)}"
    assert f"params.yaml: scales.full.gatys.features: {expected}" in found
    assert sum("methods.gatys.content_weight: has to be a number" in line for line in found) == 1
    assert sum("scales.full.gatys.steps: has to be" in line for line in found) == 1
    assert len(found) == 3


def test_a_mistake_of_one_kind_hides_none_of_another(tmp_path: Path) -> None:
    """Of YAML, of a type at the top, of a block, in blocks, of names."""
    tree = changed("devices", "many")
    tree["methods"]["gatys_lbfgs"] = 3
    tree["methods"]["wct"]["class"] = "base"
    tree["scales"]["full"] |= {"cut": [1]}
    tree["scales"]["full"]["gatys"] |= {"features": "vgg61", "steps": -1}
    tree["prepare"]["resize"] = "krop"
    text = yaml.safe_dump(tree, sort_keys=False).replace("seed: 42\n", "seed: 42\nseed: 43\n")
    (tmp_path / "params.yaml").write_text(text)
    found = validate.file_problems(tmp_path / "params.yaml")
    places = [line.split(": ")[1] for line in found]
    assert places == [
        "seed", "devices", "methods.gatys_lbfgs", "methods.wct.class", "scales.full.cut",
        "prepare.resize", "scales.full.gatys.steps", "scales.full.gatys.features",
    ]  # fmt: skip
    with pytest.raises(UserError) as told:
        validate.check(tmp_path / "params.yaml")
    assert str(told.value).splitlines() == found
    for line in ("3: a", "<<: {a: 1}"):  # no name, and so no path
        (tmp_path / "params.yaml").write_text(f"{text}{line}\n")
        more = validate.file_problems(tmp_path / "params.yaml")
        assert set(more) > set(found)
        assert len(more) == len(found) + 1


@pytest.mark.parametrize("methods", [None, 5, "gatys", ["gatys"]])
def test_entries_to_be_denoised_are_no_traceback_where_methods_are_none(
    methods: Any, tmp_path: Path
) -> None:
    tree = changed("methods", methods)
    tree["scales"]["demo"]["denoise"]["on"] = ["gatys"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    first, *_ = validate.file_problems(tmp_path / "params.yaml")
    assert first.startswith("params.yaml: methods: has to name at least one block")


def test_every_setting_that_names_layers_or_a_network_is_looked_up() -> None:
    """A new system's, too."""
    for name in method_files():
        for key, field in method_class(name).Settings.model_fields.items():
            if "str" in str(field.annotation):  # not a number of layers
                assert not key.endswith(("layer", "layers")) or key in validate.LAYERS, key
                assert not key.endswith("features") or key in validate.NETWORKS, key


def test_a_mistake_in_an_extended_block_is_told_once() -> None:
    found = validate.problems(Params(changed("methods/fast_night/snapshotz", 2)))
    assert found == [
        "params.yaml: methods.fast_night.snapshotz: no such setting; did you mean `snapshots`?"
    ]


@pytest.mark.slow
def test_check_doctor_and_table_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for tree, count, commands in (
        (changed("device", "gpu"), 1, ("check", "doctor", "table")),
        (changed("scales/full/cut/crop", "big"), 1, ("check", "doctor")),
        ({**changed("scales/full/cut/crop", "big"), "device": "gpu"}, 2, ("check", "doctor")),
    ):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        lines = told(tmp_path / "params.yaml")
        assert len(lines) == count
        for command in commands:
            assert atelier(monkeypatch, command) == 1
            out, err = capsys.readouterr()
            for line in lines:
                assert line.removeprefix("params.yaml: ") in out + err
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(TREE, sort_keys=False))
    assert atelier(monkeypatch, "check") == 0
    told_so = f"{len(TREE['methods'])} methods at the scales demo, cpu, full, smoke: no mistakes"
    assert told_so in capsys.readouterr().out


def told(file: Path) -> list[str]:
    """What any command says of the settings in ``file``."""
    return validate.file_problems(file)


def test_params_prints_where_each_setting_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert atelier(monkeypatch, "params", "metanet_a", "--scale", "cpu") == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[2:]}
    assert "scales.cpu.metanet_improved (extended)" in rows["style_loss"]
    assert rows["style_layer_weights"].split("  ")[-1] == "scales.cpu.metanet_a"
    assert rows["class"].split()[-1] == "methods.metanet_a"
    assert rows["flip"].split() == ["flip", "true", "train", "default", "of", "the", "class"]
    assert atelier(monkeypatch, "params", "denoise", "--scale", "full") == 0
    assert "scales.full.denoise" in capsys.readouterr().out
    assert atelier(monkeypatch, "params", "adian") == 1
    assert "no method 'adian'; did you mean `adain`?" in capsys.readouterr().err


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**80, 10**30, -1, 0, "2026-01-01", "..", "../x", "extends", "demo", "gatys"]),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(), st.text(max_size=5), st.floats()), max_size=3),
    st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), st.integers(), max_size=2),
)
FEW = ("gatys", "adain", "metanet_original", "metanet_a")
SMALL = {
    **TREE,
    "methods": {name: TREE["methods"][name] for name in FEW},
    "scales": {"demo": {k: v for k, v in TREE["scales"]["demo"].items() if k in (*FEW, *STEPS)}},
}
SMALL["methods"]["metanet_a"] = {"class": "metanet", "extends": "metanet_original"}
SMALL["scales"]["demo"]["metanet_a"] = {"extends": "metanet_original", "steps": 3}
QUICK = settings(
    max_examples=300,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # making a failing example smaller takes minutes
)
PATHS = sorted({path[:depth] for path, _ in leaves(SMALL) for depth in range(1, len(path) + 1)})


@pytest.mark.slow
@QUICK
@pytest.mark.no_cover  # watched, it takes twice as long, and other tests reach the same lines
@given(path=st.sampled_from(PATHS), value=ODD, name=st.one_of(st.none(), ODD))
def test_no_mistake_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str, ...], value: Any, name: Any
) -> None:
    """Any value or name at any place: right, or a sentence for each mistake."""
    tree = copy.deepcopy(SMALL)
    place = tree
    for key in path[:-1]:
        place = place[key]
    if name is None or isinstance(name, list | dict):
        place[path[-1]] = value
    else:
        place[name] = place.pop(path[-1])
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    settings_file.write(file, tree)
    found = told(file)
    assert all(line.startswith(("params.yaml: ", str(file))) for line in found), found


@pytest.mark.slow
@QUICK
@pytest.mark.no_cover
@given(data=st.data())
def test_no_damaged_file_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A few bytes replaced, cut or repeated."""
    raw = settings_file.dumped(SMALL).encode()
    begin = data.draw(st.integers(0, len(raw) - 1))
    end = data.draw(st.integers(begin, min(len(raw), begin + 300)))
    middle = data.draw(st.one_of(st.binary(max_size=8), st.just(2 * raw[begin:end])))
    file = tmp_path_factory.getbasetemp() / "damaged.yaml"
    file.write_bytes(raw[:begin] + middle + raw[end:])
    assert all(line.isprintable() for line in told(file))
