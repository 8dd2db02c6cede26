"""Digests change with the code and the settings they are made of, and with nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from atelier.core import fingerprint
from atelier.core.config import Params
from atelier.core.fingerprint import closure, code_digest, code_of, settings_digest, stage_code

ROOT = Path(__file__).parents[2]
SYSTEMS = ("adain", "cyclegan", "gatys")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ``toybox``: ``ball`` imports ``rubber``, ``rubber`` the watched ``bell``."""
    folder = tmp_path / "toybox"
    (folder / "tracking").mkdir(parents=True)
    for name in ("__init__", "ball", "car", "rubber", "tracking/__init__", "tracking/bell"):
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (folder / "ball.py").write_text("def roll():\n    from toybox import rubber\n")
    (folder / "rubber.py").write_text("from toybox.tracking import bell\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fingerprint, "PACKAGE", folder)
    return folder


def test_the_closure_is_what_is_imported_and_not_what_watches(package: Path) -> None:
    found = closure(package / "ball.py")
    assert {path.name for path in found} == {"ball.py", "rubber.py"}


def test_code_counts_where_it_is_imported(package: Path) -> None:
    before = code_digest(closure(package / "ball.py"))
    (package / "car.py").write_text("NAME = 'other'\n")
    (package / "tracking/bell.py").write_text("NAME = 'other'\n")
    assert code_digest(closure(package / "ball.py")) == before
    (package / "rubber.py").write_text("NAME = 'other'\n")
    assert code_digest(closure(package / "ball.py")) != before


def test_weights_beside_the_code_count(package: Path) -> None:
    before = code_digest([package / "ball.py"])
    (package / "ball.safetensors").write_bytes(b"1")
    assert code_digest([package / "ball.py"]) != before


CODE = '''def f(x: str = "#") -> str:
    return f"""# {x}
    none""" + "a"
'''
REMARKS = '''"""A file."""

# a remark
def f(x: str = "#") -> str:  # another
    """A docstring
    of two lines."""

    # ends here
    return f"""# {x}
    none""" + "a"
'''


def test_remarks_do_not_count_and_texts_do(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text(CODE)
    other.write_text(REMARKS)
    assert code_of(one) == code_of(other) == CODE.rstrip("\n")
    other.write_text(REMARKS.replace('"a"', '"b"'))
    assert code_of(one) != code_of(other)


def program(text: str) -> str:
    """What Python makes of a file, but for texts that are statements."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [one for one in body if not is_text(one)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@pytest.mark.slow
def test_what_is_left_of_a_file_is_the_same_program() -> None:
    compared = 0
    for path in fingerprint.PACKAGE.rglob("*.py"):
        try:
            left = program(code_of(path) + "\n")
        except IndentationError:  # a class with a docstring alone has no body any more
            continue
        assert left == program(path.read_text()), path
        compared += 1
    assert compared > 150


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_closure_holds_what_a_training_really_loads(system: str) -> None:
    """Compared with Python's own list of modules, in a process of its own."""
    script = (
        "import runpy, sys; runpy.run_path('stages/train.py', run_name='loaded');"
        f"import atelier.methods.{system};"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('atelier.')))"
    )
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    watching = closure(*(fingerprint.PACKAGE / "tracking").glob("*.py"))
    files = {Path(name) for name in loaded.stdout.split()}
    deciding = {path for path in files - watching if code_of(path)}
    found = closure(ROOT / "stages/train.py", fingerprint.PACKAGE / "methods" / f"{system}.py")
    assert deciding <= found
    assert len(deciding) > 10
    others = {path.stem for path in found if path.parent.name == "methods"}
    assert not others & {*SYSTEMS} - {system}


def test_a_methods_code_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of CAM trains U-GAT-IT again, which imports it, and AdaIN not."""
    before = {name: stage_code("train", name, ROOT) for name in ("ugatit", "adain")}
    read = code_of
    monkeypatch.setattr(
        fingerprint, "code_of", lambda path: "new" if path.name == "cam.py" else read(path)
    )
    changed = {name for name in before if stage_code("train", name, ROOT) != before[name]}
    assert changed == {"ugatit"}


def test_a_module_counts_without_being_loaded(package: Path) -> None:
    before = settings_digest({"lr": 1}, "toybox.car")
    assert settings_digest({"lr": 2}, "toybox.car") != before
    (package / "car.py").write_text("NAME = 'other'\n")
    assert settings_digest({"lr": 1}, "toybox.car") != before
    assert "toybox.car" not in sys.modules


@pytest.mark.parametrize("module", ["toybox.missing", "no_such.module", "..", "toybox.None"])
def test_what_does_not_exist_counts_as_empty(package: Path, module: str) -> None:
    assert settings_digest({}, module) == settings_digest({}, "toybox.nothing")


def test_every_methods_code_is_part_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    params = Params.load(ROOT / "params.yaml")
    before = {name: params.key(name) for name in params.method_names}
    monkeypatch.setattr("atelier.core.fingerprint._source", lambda _: b"mended")
    assert all(params.key(name) != key for name, key in before.items())
