"""An ordinary user has it all but what only root can enforce, and that is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.home import Home, web_file
from tests.support.load import Load
from tests.support.nobody import as_nobody


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home(nobody=True)
    try:
        yield made
    finally:
        made.close()


@as_nobody
def test_deploys_and_says_what_is_not_enforced(home: Home) -> None:
    extra = "resources: {memory: 64Mi}\nvolumes: [{name: data, path: /data}]"
    file = home.app(web_file(home.port, instances=2, extra=extra, VERSION="one"))
    home.run("up", "-f", str(file))
    with Load(f"http://127.0.0.1:{home.port}/", connections=2, rps=50) as load:
        home.web(file, instances=2, extra=extra, VERSION="two")
        home.run("up", "-f", str(file))
    assert not load.report().failures, str(load.report())
    assert home.get().headers["x-version"] == "two"
    assert "memory" in home.service()["limits_missing"]
    assert "memory is not limited" in home.run("status", "-a", "app").stdout
    assert home.run("exec", "-a", "app", "web", "--", "sh", "-c", "touch /data/kept && pwd").stdout == "/app\n"
    failed = home.app(web_file(home.port, instances=2, EXIT_CODE=3))
    assert "exit code 3" in home.run("up", "-f", str(failed), code=1).stderr
    assert home.get().headers["x-version"] == "two"
    home.run("down", "-a", "app", "-y")
