"""The dashboard in a real browser: what AppTest cannot see, such as scripts, pixels, requests."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from atelier.reports import votes
from support.browser import SECONDS, browser, chromium, dashboard
from support.models import project
from support.pictures import save
from support.projects import finished_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not chromium(), reason="no Chromium or Chrome is installed"),
]
PICTURES = "[data-testid=stImage] img"
expect.set_options(timeout=1000 * SECONDS)


@pytest.fixture(scope="module")
def project_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def url(project_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dashboard(project_here, tmp_path_factory.mktemp("log") / "streamlit.log") as found:
        yield found


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def open_page(chrome: Browser) -> Iterator[Callable[..., Page]]:
    """Give empty pages, which must have asked nobody but this machine and run without an error."""
    asked: list[str] = []
    complaints: list[str] = []

    def fresh(width: int = 1400, dark: bool = False) -> Page:
        page = chrome.new_page(
            viewport={"width": width, "height": 900},
            is_mobile=width < 600,
            color_scheme="dark" if dark else "light",
        )
        page.set_default_timeout(1000 * SECONDS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield fresh
    for context in chrome.contexts:
        context.close()
    assert not complaints
    hosts = {urlsplit(address).hostname for address in asked}
    assert hosts in ({"localhost"}, {"localhost", None}), "None: pictures inside the page"


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def box(of: Locator) -> dict[str, float]:
    """Where it is on the screen."""
    of.scroll_into_view_if_needed()
    found = of.bounding_box()
    assert found
    return dict(found)  # type: ignore[call-overload]


def value(page: Page, name: str) -> str:
    """A property of the document's root."""
    return str(
        page.evaluate("n => getComputedStyle(document.documentElement).getPropertyValue(n)", name)
    )


def loaded(page: Page, count: int) -> Locator:
    """Return the page's pictures as soon as there are ``count``, none of them still on its way."""
    pictures = page.locator(PICTURES)
    expect(pictures.nth(count - 1)).to_be_attached()
    every = "s => [...document.querySelectorAll(s)].every(i => i.complete && i.naturalWidth)"
    page.wait_for_function(every, arg=PICTURES)
    return pictures


@pytest.mark.parametrize(
    ("path", "head", "ready"),
    [
        ("", "Compare", f"{PICTURES} >> nth=3"),
        ("leaderboard", "Leaderboard", "canvas >> nth=1"),
        ("vote", "Vote", f"{PICTURES} >> nth=3"),
        ("runs?run=cut_x", "Runs", "[data-testid=stVegaLiteChart] * >> nth=0"),
        ("try_it", "Try it", "input[type=file]"),
    ],
)
@pytest.mark.parametrize("width", [1400, 390])
def test_every_page_opens_at_its_own_address_and_fits(
    open_page: Callable[..., Page], url: str, path: str, head: str, ready: str, width: int
) -> None:
    page = open_page(width)
    page.goto(f"{url}/{path}")
    expect(page.locator("h1").first).to_have_text(head)
    expect(page.locator(ready)).to_be_attached()
    if head == "Compare":
        loaded(page, 4)
    expect(page).to_have_title(f"{head} · atelier")
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    assert page.locator(PICTURES).evaluate_all("all => all.every(i => i.alt)")
    ours = page.locator(
        ".film input, .film button, .loupe input, .loupe button, .frame input, .open"
    )
    assert ours.evaluate_all("all => all.every(e => e.tabIndex === 0)")
    named = "all => all.every(e => e.ariaLabel || e.labels?.length || e.innerText)"
    assert ours.evaluate_all(named)


def open_compare(page: Page, url: str, query: str = "") -> Page:
    page.goto("about:blank")
    page.goto(f"{url}/{query}")
    expect(page.locator("h1").first).to_have_text("Compare")
    loaded(page, 4)
    expect(page.locator(".frame img")).to_have_count(2)
    expect(page.locator(".strip input")).to_have_count(2)
    return page


def test_pictures_are_shown_by_whole_numbers_of_screen_pixels(page: Page, url: str) -> None:
    pictures = open_compare(page, url, "?size=3").locator(PICTURES)
    shown = pictures.evaluate_all(
        "all => all.slice(0, 4).map(i => [i.naturalWidth, i.clientWidth])"
    )
    assert shown == [[8, 24]] * 4
    expect(pictures.first).to_have_css("image-rendering", "pixelated")


def test_the_line_between_two_pictures_moves_by_key_and_by_pointer(page: Page, url: str) -> None:
    frame = open_compare(page, url).locator(".frame").first
    line = page.locator(".frame input").first
    line.press("ArrowRight")
    expect(frame).to_have_css("--split", "51%")
    expect(line).to_have_attribute(
        "aria-label", "Line between content on the left, cut_x on the right"
    )
    at = box(frame)
    page.mouse.click(at["x"] + at["width"] / 4, at["y"] + at["height"] / 2)
    expect(frame).to_have_css("--split", re.compile(r"^2[456](\.\d+)?%$"))
    shown = page.locator(".frame img").evaluate_all("all => all.map(i => [i.naturalWidth, i.alt])")
    assert shown == [[8, "cut_x"], [8, "content"]]


def test_a_click_zooms_all_pictures_and_the_address_tells_where(page: Page, url: str) -> None:
    pictures = open_compare(page, url).locator(PICTURES)
    at = box(pictures.nth(2).locator(".."))
    page.mouse.click(at["x"] + at["width"] / 4, at["y"] + at["height"] / 2)
    assert (value(page, "--at-zoom"), value(page, "--at-across")) == ("4", "25%")
    zoomed = "all => all.slice(0, 4).map(i => getComputedStyle(i).transform)"
    assert set(pictures.evaluate_all(zoomed)) == {"matrix(4, 0, 0, 4, 0, 0)"}
    page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    page.wait_for_url(re.compile("zoom=4%2C50%2C50"))
    open_compare(page, url, page.evaluate("location.search"))
    expect(page.locator("html")).to_have_css("--at-zoom", "4")


def test_the_zoom_is_within_reach_of_the_keys(page: Page, url: str) -> None:
    open_compare(page, url).locator(".loupe input[name=zoom]").first.press("ArrowRight")
    assert value(page, "--at-zoom") == "1.5"
    assert page.locator(".loupe input[name=across]").first.is_enabled()


def test_arrow_keys_step_through_the_pictures_in_full_screen(page: Page, url: str) -> None:
    open_compare(page, url)
    page.get_by_role("button", name="Full screen", exact=True).click()
    shown, image = page.locator("dialog .name"), page.locator("dialog img")
    expect(shown).to_have_text("content · 1 of 4")
    page.keyboard.press("ArrowLeft")
    expect(shown).to_have_text("gatys · 4 of 4")
    page.keyboard.press("ArrowLeft")
    expect(shown).to_have_text("cut_x · 3 of 4")
    expect(image).to_have_attribute("alt", "alps by cut_x")
    sizes = image.evaluate("i => [i.clientWidth % i.naturalWidth, i.clientHeight > 700]")
    assert sizes == [0, True], "whole multiples of its pixels"
    page.wait_for_url(re.compile("full=cut_x"))
    page.reload()
    expect(shown).to_have_text("cut_x · 3 of 4")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).not_to_be_visible()
    page.wait_for_url(lambda address: "full=" not in address)


def test_full_screen_waits_for_a_picture_that_comes_late(page: Page, url: str) -> None:
    open_compare(page, url)
    last = page.locator(f'{PICTURES}[alt="alps by gatys"]')
    last.evaluate("img => { window.late = [img, img.parentNode]; img.remove(); }")
    page.get_by_role("button", name="Full screen", exact=True).click()
    shown, image = page.locator("dialog .name"), page.locator("dialog img")
    expect(shown).to_have_text("content · 1 of 4")
    page.keyboard.press("ArrowLeft")
    expect(shown).to_have_text("gatys · 4 of 4")
    assert image.get_attribute("src") is None, "not the picture before under this name"
    page.evaluate("() => late[1].append(late[0])")
    expect(image).to_have_attribute("src", re.compile("/media/"))
    expect(image).to_have_attribute("alt", "alps by gatys")


def test_a_thumbnail_turns_to_its_photograph(page: Page, url: str) -> None:
    open_compare(page, url)
    assert page.locator(".strip img").evaluate_all("all => all.every(i => i.naturalWidth > 0)")
    second = page.locator(".strip input").nth(1)
    second.evaluate("input => input.click()")
    expect(page.locator(PICTURES).first).to_have_attribute("alt", "the photograph beach")
    page.wait_for_url(re.compile("photo=beach"))
    expect(second).to_be_checked()


def test_arrow_keys_and_clicks_vote_each_picture_once(
    page: Page, url: str, project_here: Path
) -> None:
    """Of two methods on two photographs there are two questions; then all has been answered."""
    page.goto(f"{url}/vote?voter=ann&question=Style")
    pictures = loaded(page, 4)
    shown = pictures.evaluate_all("all => all.map(i => [i.naturalWidth, i.clientWidth])")
    assert shown == [[8, 8]] * 4, "as they are"
    html = page.content()
    assert "gatys" not in html
    assert "cut_x" not in html
    page.get_by_test_id("stTextInputField").press("ArrowLeft")
    expect(page.get_by_text("Votes on this question: 0")).to_be_visible()
    page.locator("h1").first.click()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_text("Votes on this question: 1, 1 of them yours")).to_be_visible()
    loaded(page, 4)
    page.get_by_role("button", name="Right", exact=False).last.click()
    expect(page.get_by_text("You have judged every pair")).to_be_visible()
    found = votes.stored(project_here)
    assert [vote.answer for vote in found] == ["equal", "right"]
    assert {vote.photo for vote in found} == {"alps", "beach"}
    page.reload()
    expect(page.get_by_text("You have judged every pair")).to_be_visible()


def test_light_and_dark_follow_the_reader(open_page: Callable[..., Page], url: str) -> None:
    for dark, shade in ((False, "rgb(255, 255, 255)"), (True, "rgb(20, 23, 28)")):
        page = open_compare(open_page(dark=dark), url)
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", shade)


def test_nothing_but_results_is_served(page: Page, url: str) -> None:
    open_compare(page, url)
    for path in ("params.yaml", "app/static/params.yaml", "media/..%2F..%2Fparams.yaml"):
        assert "scales" not in page.evaluate("p => fetch(p).then(a => a.text())", f"/{path}")


def test_ones_own_photograph_is_stylised(
    page: Page, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    mine = save(tmp_path / "mine.png", size=(96, 64))
    with dashboard(project(tmp_path / "project", "cut"), tmp_path / "streamlit.log") as url:
        page.goto(f"{url}/try_it")
        page.set_input_files("input[type=file]", mine)
        page.get_by_role("button", name="Stylise", exact=True).click()
        pictures = loaded(page, 2)
        assert pictures.evaluate_all("all => all.map(i => i.naturalWidth)") == [96, 96]
        expect(page.locator(".frame img")).to_have_count(2)
        phone = open_page(390)
        phone.goto(f"{url}/try_it")
        phone.set_input_files("input[type=file]", mine)
        phone.get_by_text("Strip", exact=True).click()
        phone.get_by_role("button", name="Stylise", exact=True).click()
        assert box(loaded(phone, 3).nth(2))["width"] >= 700, "a sheet small enough to fit is unread"
        wide = "all => all.map(one => one.scrollWidth > one.clientWidth)"
        assert phone.locator("[class*=st-key-sheet-]").evaluate_all(wide) == [True]
        fits = "main => main.scrollWidth <= main.clientWidth"
        assert phone.get_by_test_id("stMain").evaluate(fits)
