"""A real browser, as Debian has it, driven by Playwright."""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")


def executable() -> str | None:
    """None: this machine has no browser that Playwright can drive."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def on_ubuntu() -> bool:
    return platform.freedesktop_os_release().get("ID") == "ubuntu"


@contextlib.contextmanager
def launched(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()
