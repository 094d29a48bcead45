"""One conformance suite for all patterns: tests of the modules below run under each, unchanged."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import PARTS, Home, web_file
from tests.support.netns import INSIDE

PATTERNS = ("process", "container", "vm")
CONFORMANCE = ("test_zero_loss", "test_faults", "test_failed_deploys", "test_neighbours", "test_health", "test_secrets")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker("e2e")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A daemon with containers changes routes and rules: not those of whoever runs tests."""
    if item.get_closest_marker("containers") and INSIDE not in os.environ:
        pytest.fail("needs a network of its own: python -m tests.support.netns -- pytest -m containers …")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pattern" not in metafunc.fixturenames:
        return
    wanted = metafunc.definition.get_closest_marker("patterns")
    everywhere = metafunc.module.__name__.rpartition(".")[2] in CONFORMANCE
    patterns = wanted.args if wanted else PATTERNS if everywhere else ("process",)
    marked = [pytest.param(each, marks=_marks(metafunc, each)) for each in patterns]
    metafunc.parametrize("pattern", marked, indirect=True, scope="function")


def _marks(metafunc: pytest.Metafunc, pattern: str) -> list[pytest.MarkDecorator]:
    if pattern == "process":
        return []
    return [pytest.mark.containers]


@pytest.fixture
def pattern(request: pytest.FixtureRequest) -> str:
    """What `web_file` runs as."""
    return str(request.param)


@pytest.fixture
def home(pattern: str, request: pytest.FixtureRequest) -> Iterator[Home]:
    made = Home(pattern=pattern)
    try:
        if pattern != "process":
            made.take_images(request.getfixturevalue("machines" if pattern == "vm" else "images"))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def images() -> Iterator[Path]:
    """A folder with the base of the test service, made once."""
    yield from _made("container")


@pytest.fixture(scope="session")
def machines() -> Iterator[Path]:
    """The same, and what its virtual machines boot."""
    yield from _made("vm")


def _made(pattern: str) -> Iterator[Path]:
    maker = Home(pattern=pattern)
    kept = Path(tempfile.mkdtemp(prefix="ff-images-"))
    try:
        maker.run("up", "-f", str(maker.app(web_file(maker.port))), patience=600)
        for name in PARTS:
            if (there := maker.state / name).exists():
                shutil.move(there, kept / name)
        yield kept
    finally:
        maker.close()
        shutil.rmtree(kept, ignore_errors=True)
