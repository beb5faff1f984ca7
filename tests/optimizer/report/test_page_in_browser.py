"""The page in a browser: nothing hangs over its edge on a desk, on a telephone or on paper, and no text on another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from optimizer.report import write_report
from tests.optimizer.report.test_report import A_PROFILE, LAYERS, a_search_whose_winner_errs, a_varied_search
from tests.optimizer.search.searches import an_image_dataset, the_winner

pytestmark = [pytest.mark.system, pytest.mark.slow]

_OVERHANG = "document.documentElement.scrollWidth - window.innerWidth"
_OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll('svg text')].map(text => [text.ownerSVGElement, text.getBoundingClientRect()]);
    const crossed = ([svg, a], [other, b]) => svg === other && a.width && b.width &&
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
    return boxes.filter((one, place) => boxes.slice(place + 1).some(other => crossed(one, other))).length;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give Debian's chromium."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a report with every section."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    erring = a_search_whose_winner_errs()
    losers = a_varied_search().candidates[1:]
    search = dataclasses.replace(
        erring,
        candidates=(the_winner(erring), *losers),
        sensitivity=LAYERS,
        profiles={"as given": A_PROFILE, the_winner(erring).label: A_PROFILE},
    )
    write_report(search, path, dataset=an_image_dataset())
    return path


def _opened(browser: Browser, page_file: Path, *, width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(page_file.as_uri())
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_hangs_over_the_edge(browser: Browser, page_file: Path, width: int) -> None:
    page = _opened(browser, page_file, width=width)

    assert page.evaluate(_OVERHANG) == 0


def test_nothing_hangs_over_the_edge_of_a_sheet(browser: Browser, page_file: Path) -> None:
    page = _opened(browser, page_file, width=720)

    page.emulate_media(media="print")

    assert page.evaluate(_OVERHANG) <= 0


def test_no_words_of_a_chart_lie_on_others(browser: Browser, page_file: Path) -> None:
    page = _opened(browser, page_file, width=1280)

    assert page.evaluate(_OVERLAPS) == 0


def test_every_picture_is_drawn(browser: Browser, page_file: Path) -> None:
    page = _opened(browser, page_file, width=1280)

    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")

    assert widths
    assert set(widths) == {8}
