"""The dashboard in a real browser: what AppTest cannot see, such as scripts, pixels, requests."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.browser import Tab, chromium, dashboard, tab
from support.models import project
from support.pictures import save
from support.projects import finished_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium(), reason="no Chromium or Chrome is installed"),
]
PICTURES = '[...document.querySelectorAll("[data-testid=stImage] img")]'
LOADED = f"{PICTURES}.length >= 4 && {PICTURES}.every(i => i.complete && i.naturalWidth)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = finished_project(tmp_path_factory.mktemp("project"))
    with dashboard(root, tmp_path_factory.mktemp("log") / "streamlit.log") as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def page(browser: Tab) -> Iterator[Tab]:
    """The tab, which must have asked nobody but this machine and run without an error."""
    browser.size(1400, 900)
    browser.requests.clear()
    browser.complaints.clear()
    yield browser
    browser.ask("0")  # what has come in the meantime is noted
    assert not browser.complaints
    hosts = {urlsplit(address).hostname for address in browser.requests}
    assert hosts <= {"localhost", None}, "None: pictures inside the page"


def box(page: Tab, script: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(
        page.ask(f"JSON.stringify(({script}).getBoundingClientRect())")
    )
    return found


def value(page: Tab, name: str) -> str:
    """A property of the document's root."""
    found: str = page.ask(f"getComputedStyle(document.documentElement).getPropertyValue('{name}')")
    return found


@pytest.mark.parametrize(
    ("path", "head", "ready"),
    [
        ("", "Compare", LOADED),
        ("leaderboard", "Leaderboard", "document.querySelectorAll('canvas').length >= 2"),
        ("runs?run=cut_x", "Runs", "document.querySelector('[data-testid=stVegaLiteChart] *')"),
        ("try_it", "Try it", "document.querySelector('input[type=file]')"),
    ],
)
@pytest.mark.parametrize("width", [1400, 390])
def test_every_page_opens_at_its_own_address_and_fits(
    page: Tab, url: str, path: str, head: str, ready: str, width: int
) -> None:
    page.size(width, 900)
    page.open(f"{url}/{path}")
    page.wait(f"document.querySelector('h1')?.innerText === '{head}'")
    page.wait(f"!!({ready})")
    assert page.ask("document.title") == f"{head} · atelier"
    main = "document.querySelector('[data-testid=stMain]')"
    assert page.ask(f"{main}.scrollWidth") <= page.ask(f"{main}.clientWidth")
    assert page.ask(f"{PICTURES}.every(i => i.alt)")
    ours = "all('.film input, .film button, .loupe input, .loupe button, .frame input')"
    assert page.ask(f"{ours}.every(e => e.tabIndex === 0)")
    assert page.ask(f"{ours}.every(e => e.ariaLabel || e.labels?.length || e.innerText)")


def open_compare(page: Tab, url: str, query: str = "") -> None:
    page.open("about:blank")
    page.open(f"{url}/{query}")
    page.wait(f"document.querySelector('h1')?.innerText === 'Compare' && {LOADED}")
    page.wait("all('.frame img').length === 2 && all('.strip input').length === 2")


def test_pictures_are_shown_by_whole_numbers_of_screen_pixels(page: Tab, url: str) -> None:
    open_compare(page, url, "?size=3")
    shown = page.ask(f"{PICTURES}.slice(0, 4).map(i => [i.naturalWidth, i.clientWidth])")
    assert shown == [[8, 24]] * 4
    assert page.ask(f"getComputedStyle({PICTURES}[0]).imageRendering") == "pixelated"


def test_the_line_between_two_pictures_moves_by_key_and_by_pointer(page: Tab, url: str) -> None:
    open_compare(page, url)
    split = "getComputedStyle(all('.frame')[0]).getPropertyValue('--split')"
    page.ask("all('.frame input')[0].focus()")
    page.key("ArrowRight", 39)
    page.wait(f"{split} === '51%'")
    assert page.ask("all('.frame input')[0].ariaLabel") == (
        "Line between content on the left, cut_x on the right"
    )
    page.ask("all('.frame')[0].scrollIntoView()")
    at = box(page, "all('.frame')[0]")
    page.click(at["x"] + at["width"] / 4, at["y"] + at["height"] / 2)
    page.wait(f"Math.abs(parseFloat({split}) - 25) <= 1")
    assert page.ask("all('.frame img').map(i => [i.naturalWidth, i.alt])") == [
        [8, "cut_x"],
        [8, "content"],
    ]


def test_a_click_zooms_all_pictures_and_the_address_tells_where(page: Tab, url: str) -> None:
    open_compare(page, url)
    at = box(page, PICTURES + "[2].parentElement")
    page.click(at["x"] + at["width"] / 4, at["y"] + at["height"] / 2)
    assert (value(page, "--at-zoom"), value(page, "--at-across")) == ("4", "25%")
    same = f"{PICTURES}.slice(0, 4).map(i => getComputedStyle(i).transform)"
    assert set(page.ask(same)) == {"matrix(4, 0, 0, 4, 0, 0)"}
    page.mouse("mouseMoved", at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    page.wait("location.search.includes('zoom=4%2C50%2C50')")
    open_compare(page, url, page.ask("location.search"))
    page.wait("getComputedStyle(document.documentElement).getPropertyValue('--at-zoom') === '4'")


def test_the_zoom_is_within_reach_of_the_keys(page: Tab, url: str) -> None:
    open_compare(page, url)
    page.ask("all('.loupe input[name=zoom]')[0].focus()")
    page.key("ArrowRight", 39)
    assert value(page, "--at-zoom") == "1.5"
    assert not page.ask("all('.loupe input[name=across]')[0].disabled")


def test_a_thumbnail_turns_to_its_photograph(page: Tab, url: str) -> None:
    open_compare(page, url)
    assert page.ask("all('.strip img').every(i => i.naturalWidth > 0)")
    page.ask("all('.strip input')[1].click()")
    page.wait(f"{PICTURES}[0].alt === 'the photograph beach'")
    page.wait("location.search.includes('photo=beach') && all('.strip input')[1].checked")


def test_light_and_dark_follow_the_reader(page: Tab, url: str) -> None:
    shades = []
    for dark in (False, True):
        page.size(1400, 900, dark=dark)
        open_compare(page, url)
        app = "document.querySelector('[data-testid=stApp]')"
        shades.append(page.ask(f"getComputedStyle({app}).backgroundColor"))
    assert shades == ["rgb(255, 255, 255)", "rgb(20, 23, 28)"]


def test_nothing_but_results_is_served(page: Tab, url: str) -> None:
    open_compare(page, url)
    for path in ("params.yaml", "app/static/params.yaml", "media/..%2F..%2Fparams.yaml"):
        assert "scales" not in page.ask(f"fetch('/{path}').then(answer => answer.text())")


def test_ones_own_photograph_is_stylised(page: Tab, tmp_path: Path) -> None:
    mine = save(tmp_path / "mine.png", size=(96, 64))
    with dashboard(project(tmp_path / "project", "cut"), tmp_path / "streamlit.log") as url:
        page.open(f"{url}/try_it")
        page.wait("!!document.querySelector('input[type=file]')")
        page.upload("input[type=file]", mine)
        button = "[...document.querySelectorAll('button')].find(b => b.innerText === 'Stylise')"
        page.wait(f"!!{button} && !{button}.disabled")
        page.ask(f"{button}.click()")
        page.wait(f"{PICTURES}.length === 2 && {PICTURES}.every(i => i.naturalWidth === 96)")
        page.wait("all('.frame img').length === 2")
