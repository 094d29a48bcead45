"""Where tests of containers run, a daemon has a network of its own, with a way to package indexes."""

from __future__ import annotations

import os

import pytest

from tests.e2e.home import Home, web_file
from tests.support.netns import INSIDE

pytestmark = [pytest.mark.containers, pytest.mark.patterns("process")]


def test_a_service_with_packages_is_built_and_served(home: Home) -> None:
    assert os.environ[INSIDE]
    file = home.app(web_file(home.port, VERSION="one"))
    (file.parent / "web" / "requirements.txt").write_text("itsdangerous\n")
    home.run("up", "-f", str(file))
    assert home.get().headers["x-version"] == "one"
    home.run("exec", "-a", "app", "web", "--", "python3", "-c", "import itsdangerous")
