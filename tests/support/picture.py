"""Pictures of a report for README, in both schemes: a page that `fourfold compare --html` wrote, down to its charts.

`python -m tests.support.picture report.html docs` writes docs/report.png and docs/report-dark.png.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser

from tests.support.browser import executable, launched

WIDTH = 980
MARGIN = 24
COLOURS = 256
"""Enough for text and lines: a third of the bytes."""
SCHEMES: dict[Literal["light", "dark"], str] = {"light": "report.png", "dark": "report-dark.png"}


def take(browser: Browser, report: Path, picture: Path, scheme: Literal["light", "dark"]) -> None:
    page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)
    page.goto(report.resolve().as_uri())
    charts = page.locator(".charts").bounding_box()
    if charts is None:
        raise SystemExit(f"error: {report} has no charts\nhint: give it a page that `fourfold compare --html` wrote")
    height = charts["y"] + charts["height"] + MARGIN
    taken = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
    page.close()
    image = (
        Image.open(io.BytesIO(taken))
        .convert("RGB")
        .quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    image.save(picture, optimize=True)


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    report, folder = map(Path, argv)
    path = executable()
    if path is None:
        print("error: no browser here\nhint: apt-get install chromium-headless-shell", file=sys.stderr)
        return 1
    with launched(path) as browser:
        for scheme, name in SCHEMES.items():
            take(browser, report, folder / name, scheme)
            print(f"wrote {folder / name}: {(folder / name).stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
