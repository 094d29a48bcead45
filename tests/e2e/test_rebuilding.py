"""What was built is lost, or is to be built again though nothing has changed."""

from __future__ import annotations

import json
import shutil
from typing import Any

from tests.e2e.home import Home, web_file


def history(home: Home) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(home.run("history", "-a", "app", "web", "-o", "json").stdout)
    return found


def test_a_lost_artifact_is_built_again(home: Home) -> None:
    """By the next `up`, under the number that it had; what runs from it is replaced."""
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    old = home.instances()[0]["id"]
    artifacts = home.home / "state" / "artifacts"
    for artifact in list(artifacts.iterdir()):
        shutil.rmtree(artifact)
    assert "lost" in home.run("plan", "-f", str(file)).stdout
    home.run("up", "-f", str(file))
    assert home.get().headers["x-version"] == "one"
    assert len(history(home)) == 1 and list(artifacts.iterdir()) and home.instances()[0]["id"] != old


def test_going_back_to_what_is_lost(home: Home) -> None:
    """It is built again, or refused before anything changes when its source is lost too."""
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    artifacts = home.home / "state" / "artifacts"
    (first,) = artifacts.iterdir()
    (file.parent / "web" / "page").write_text("two")
    file.write_text(file.read_text().replace("one", "two"))
    home.run("up", "-f", str(file))
    shutil.rmtree(first)
    home.run("rollback", "-a", "app", "web")
    assert home.get().headers["x-version"] == "one" and first.exists()
    home.run("rollback", "-a", "app", "web", "--to", "2")
    shutil.rmtree(first)
    shutil.rmtree(home.home / "state" / "sources")
    refused = home.run("rollback", "-a", "app", "web", "--to", "1", code=2).stderr
    assert "cannot roll web back to release 1: it has to be built again for pattern process, and its source" in refused
    assert home.get().headers["x-version"] == "two" and home.service()["release"] == 2


def test_rebuild(home: Home) -> None:
    """A release of its own, that can be gone back from."""
    file = home.app(web_file(home.port, extra='build: "date +%s%N > built"'))
    home.run("up", "-f", str(file))
    first = home.run("exec", "-a", "app", "web", "--", "cat", "built").stdout
    home.run("up", "-f", str(file))
    assert home.run("exec", "-a", "app", "web", "--", "cat", "built").stdout == first
    home.run("up", "-f", str(file), "--rebuild")
    assert home.run("exec", "-a", "app", "web", "--", "cat", "built").stdout != first
    assert [release["number"] for release in history(home)] == [2, 1]
    home.run("rollback", "-a", "app", "web")
    assert home.run("exec", "-a", "app", "web", "--", "cat", "built").stdout == first
