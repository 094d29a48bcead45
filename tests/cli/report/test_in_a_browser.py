"""The page in a real browser, in both schemes, on a wide screen, a tablet and a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from fourfold.cli.report.page import page as report
from fourfold.cost.comparison import Comparison
from tests.cli.report.samples import COMPARISON, CROWDED, NOTHING, QUICK
from tests.support.browser import executable, launched, on_ubuntu

SAMPLES = {"all": COMPARISON, "quick": QUICK, "nothing": NOTHING, "crowded": CROWDED}
WIDTHS = (1280, 768, 360)

OVERLAPS = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const texts = [...chart.querySelectorAll('text')].filter(text => text.getClientRects().length);
  const boxes = texts.map(text => text.getBoundingClientRect());
  const found = [];
  boxes.forEach((one, index) => boxes.slice(index + 1).forEach((other, more) => {
    const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
    if (across > 1 && down > 3) found.push(`${texts[index].textContent} / ${texts[index + 1 + more].textContent}`);
  }));
  return found;
})"""
"""Texts of a chart that cover each other; lines of 12 px may touch by what no letter reaches."""

OUTSIDE = """() => [...document.querySelectorAll('svg.chart text, .card *, .findings *')].filter(each => {
  const inside = each.closest('.card, .findings li');
  if (!inside || !each.checkVisibility() || each.closest('.unseen, thead')) return false;
  const one = each.getBoundingClientRect(), other = inside.getBoundingClientRect();
  return one.right > other.right + 0.5 || one.left < other.left - 0.5 || one.bottom > other.bottom + 0.5;
}).map(each => `${each.tagName} ${each.textContent.trim().slice(0, 40)}`)"""
"""What sticks out of the card that it is in."""

SMALLEST = """() => Math.min(...[...document.querySelectorAll('svg.chart text')]
  .filter(text => text.getClientRects().length)
  .map(text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"""
"""Height of the smallest text in a chart, in pixels of the screen."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = executable()
    if path is None:
        if not on_ubuntu():  # which has one as a snap only
            pytest.fail("no browser here: apt-get install chromium-headless-shell")
        pytest.skip("Ubuntu has no browser but as a snap, which does not start everywhere")
    with launched(path) as browser:
        yield browser


def opened(browser: Browser, folder: Path, comparison: Comparison, scheme: Any, width: int) -> tuple[Page, list[str]]:
    """The page, and what the browser complained about or asked for beside it."""
    file = folder / "report.html"
    file.write_text(report(comparison))
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return page, said


@pytest.mark.parametrize(
    ("sample", "width"), [*((sample, width) for sample in SAMPLES for width in (1280, 360)), ("all", 768)]
)
def test_nothing_overlaps_or_sticks_out(browser: Browser, tmp_path: Path, sample: str, width: int) -> None:
    page, said = opened(browser, tmp_path, SAMPLES[sample], "light", width)
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(OVERLAPS) == []
    if sample != "nothing":
        assert page.evaluate(SMALLEST) >= 10
    page.close()


@pytest.mark.parametrize(
    ("sample", "scheme", "width"),
    [("all", "light", 1280), ("all", "dark", 360), ("quick", "light", 360), ("quick", "dark", 1280)],
)
def test_it_is_accessible(browser: Browser, tmp_path: Path, sample: str, scheme: str, width: int) -> None:
    """As far as axe-core can tell: contrast as it is drawn, names, headings, tables, landmarks."""
    page, _ = opened(browser, tmp_path, SAMPLES[sample], scheme, width)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_both_schemes_look_alike_but_for_their_colours(browser: Browser, tmp_path: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page, _ = opened(browser, tmp_path, COMPARISON, scheme, 1280)
        seen[scheme] = page.evaluate("[document.body.scrollHeight, getComputedStyle(document.body).backgroundColor]")
        page.close()
    assert seen["light"][0] == seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]


def test_paper_is_light(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, COMPARISON, "dark", 720)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 25, 29)"
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


def test_each_chart_is_shown_once(browser: Browser, tmp_path: Path) -> None:
    for width in WIDTHS:
        page, _ = opened(browser, tmp_path, COMPARISON, "light", width)
        assert page.locator("svg.chart").count() == 8
        assert page.locator("svg.chart:visible").count() == 4
        assert page.get_by_role("img").count() == 4
        page.close()
