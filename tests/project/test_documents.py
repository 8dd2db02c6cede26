"""The documents: their commands exist, their links lead somewhere, the tree is the repository's."""

import json
import re
import subprocess
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
import yaml
from PIL import Image
from typer.main import get_command

from atelier.cli.main import app
from atelier.core.config import UserError
from atelier.methods.base import Kind
from atelier.metrics.catalogue import FIGURES
from atelier.nn.losses import StyleLoss
from tools import artifacts, grid, tree

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    if path.name not in {"log.md", "CHANGELOG.md"}  # dated: they name what was there on the day
}


def test_the_architecture_page_draws_the_layers_and_the_tree() -> None:
    try:
        wanted = tree.main(ROOT)
    except UserError as error:
        if "no git checkout" not in str(error):
            raise
        pytest.skip(str(error))
    assert PAGES["docs/architecture.md"] == wanted, "run `make tree`"


def test_every_file_stands_in_the_tree_once(tmp_path: Path) -> None:
    package = tmp_path / "box"
    package.mkdir()
    (package / "__init__.py").write_text('"""A box."""')
    (package / "lid.py").write_text('"""The lid.\n\nMore of it."""')
    (tmp_path / "page.md").write_text("# A page\n\nText.\n")
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")]
    drawn = list(tree.lines([tree.PurePosixPath(path) for path in files], tmp_path))
    assert [line.split(maxsplit=1) for line in drawn] == [
        ["page.md", "A page"],
        ["box/", "A box"],
        ["lid.py", "The lid"],
    ]


def test_files_that_are_one_of_many_share_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "src/atelier/metrics"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""Metrics."""')
    (folder / "shared.py").write_text('"""What they share."""\nTHIS_MEASURE = 1\n')
    for name in ("colour", "shape"):
        (folder / f"{name}.py").write_text(f'"""The {name}."""\nMEASURE = 1\n')
    names = [path.relative_to(tmp_path).as_posix() for path in folder.glob("*.py")]
    drawn = tree.lines(map(tree.PurePosixPath, names), tmp_path, tree.PurePosixPath("src/atelier"))
    assert [line.split(maxsplit=1) for line in drawn] == [
        ["metrics/", "Metrics"],
        ["shared.py", "What they share"],
        ["<metric>.py", "One metric per file: `catalogue.py`"],
    ]


def test_a_file_without_a_description_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"odd\.bin"):
        tree.describe(tree.PurePosixPath("odd.bin"), tmp_path)


def test_layers_are_drawn_as_wide_as_each_other() -> None:
    drawn = list(tree.layers([["a"], ["b", "c", "d"], ["e", "f"]]))
    assert {len(line) for line in drawn} == {tree.INNER + 2}
    assert [re.findall(r"\w", line) for line in drawn[1::2]] == [["a"], ["b", "c", "d"], ["e", "f"]]


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(PAGES.values())
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "test", "docs"} <= named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_atelier_command_in_the_documents_exists(page: str) -> None:
    root = get_command(app)
    for words in re.findall(r"(?:^|`)atelier ((?:[a-z][a-z-]* ?)+)", PAGES[page], re.MULTILINE):
        command = root
        for word in words.split():
            children = getattr(command, "commands", None)
            if children is None or word not in children:
                assert children is None, f"atelier {words}: no {word!r}"
                break
            command = children[word]


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_documents_lead_to_files(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", PAGES[page]):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_the_documents_exist(page: str) -> None:
    """Paths from the root, and ``core/…`` for ``src/atelier/core/…``."""
    rooms = {path.name for path in (ROOT / "src/atelier").iterdir() if path.is_dir()}
    for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|md|json|yaml))`", PAGES[page]):
        top = name.split("/")[0]
        if top in rooms:
            assert (ROOT / "src/atelier" / name).is_file(), name
        elif top in {"src", "tests", "docs", "stages", "tools", "benchmarks", "dashboard"}:
            assert (ROOT / name).is_file(), name


def test_every_package_has_its_page_on_the_site() -> None:
    rooms = {path.parent.name for path in (ROOT / "src/atelier").glob("*/__init__.py")}
    pages = {path.stem: path.read_text() for path in (ROOT / "docs/api").glob("*.md")}
    assert rooms == set(pages)
    assert all(f"::: atelier.{name}\n" in text for name, text in pages.items())


def test_the_site_fetches_nothing() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert site["theme"]["font"] is False
    assert site["strict"] is True
    assert [next(iter([*p])) if isinstance(p, dict) else p for p in site["plugins"]] == [
        "search",
        "mkdocstrings",
    ]


def test_every_entry_has_a_line_in_the_readmes_table() -> None:
    listed = artifacts.entries(PAGES["README.md"])
    assert set(yaml.safe_load((ROOT / "params.yaml").read_text())["methods"]) <= set(listed)
    assert '--8<-- "README.md:entries"' in PAGES["docs/methods.md"], "the site shows the same table"


def test_a_row_of_the_readmes_table_may_name_several_entries() -> None:
    rows = "| `one` | X | k |\n| `net_one`, `_a`, `two` | Y, 2001 | k |\n"
    table = f"{artifacts.BEGIN}| entry | system | kind |\n|---|---|---|\n{rows}{artifacts.END}"
    found = artifacts.entries(f"Before\n{table}After | `no` | line |\n")
    assert found == {"one": "X", "net_one": "Y, 2001", "net_a": "Y, 2001", "two": "Y, 2001"}
    with pytest.raises(UserError, match="marks of the table of entries are missing"):
        artifacts.entries("| `one` | X | k |")


def test_a_trained_entry_without_a_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    rows = PAGES["README.md"].splitlines(keepends=True)
    (tmp_path / "README.md").write_text("".join(r for r in rows if not r.startswith("| `cut` |")))
    with pytest.raises(UserError, match=r"README\.md: the table of entries has no line for cut$"):
        artifacts.main(tmp_path)


def test_kinds_and_style_losses_are_explained() -> None:
    for kind in get_args(Kind):
        assert re.search(rf"\W{kind}\W", PAGES["docs/glossary.md"]), kind
    for loss in get_args(StyleLoss):
        assert f"`{loss}`" in PAGES["docs/methods.md"]


def test_pictures_of_the_documents_are_small() -> None:
    kinds = {".png", ".jpg", ".webp", ".svg", ".gif"}
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in kinds]
    assert len(pictures) >= 3
    assert not [path.name for path in pictures if path.stat().st_size > grid.LIMIT]


@pytest.mark.slow
def test_the_grid_becomes_a_small_picture_of_the_same_shape(tmp_path: Path) -> None:
    source, target = tmp_path / "grid.png", tmp_path / "grid.webp"
    Image.effect_noise((3000, 600), 90).convert("RGB").save(source)
    grid.main(source, target)
    assert target.stat().st_size <= grid.LIMIT
    with Image.open(target) as picture:
        assert picture.format == "WEBP"
        assert picture.size == (2400, 480)


def test_without_a_grid_the_message_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make demo"):
        grid.main(tmp_path / "grid.png", tmp_path / "grid.webp")
    assert not list(tmp_path.iterdir())


def committed(file: str) -> str:
    """What the last commit has: results of one's own in the working tree are not the README's."""
    command = ["git", "show", f"HEAD:./{file}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(done.stderr)
    return done.stdout


def test_the_table_of_the_readme_shows_the_recorded_comparison() -> None:
    table = committed("README.md").partition("<!-- table: begin")[2].partition("```\n<!--")[0]
    table = table.partition("```\n")[2].partition("\n\n")[0]
    head, _, *lines = (re.split(r" {2,}", line.strip()) for line in table.splitlines())
    rows = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    recorded = json.loads(committed("results/comparison/comparison.json"))
    methods = [name for name in recorded if name in rows]
    assert len(methods) >= 20
    assert list(rows)[: len(methods)] == sorted(methods, key=lambda name: recorded[name]["frechet"])
    for name, key in product(methods, ("frechet", "content", "style", "style_set", "ssim")):
        wanted = FIGURES[key].text(recorded[name].get(key))
        assert rows[name][key.replace("_", " ")] == wanted, f"{name}, {key}: renew the table"


def test_the_table_of_the_readme_is_marked_for_renewal() -> None:
    _, begin, rest = PAGES["README.md"].partition("<!-- table: begin")
    table, end, _ = rest.partition("<!-- table: end -->")
    assert begin
    assert end
    assert table.count("```") == 2
    entries = PAGES["README.md"].partition(artifacts.BEGIN)[2].partition(artifacts.END)[0]
    prose = PAGES["README.md"].replace(table, "").replace(entries, "")  # those grow by the entry
    assert len(prose.encode()) <= 5_000
