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
