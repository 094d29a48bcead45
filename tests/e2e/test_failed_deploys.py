"""Promise 3: a failed deploy changes nothing for users, exits 1, and says why."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.home import Home, web_file
from tests.supervise.rig import needs
from tests.support.load import Load

PYTHON, FAIL = "/usr/bin/python3", 'print("no such table", flush=True); raise SystemExit(4)'
CAUSES: dict[str, tuple[dict[str, Any], str, str]] = {
    "crashes": ({"EXIT_CODE": 3}, "", "exit code 3"),
    "dies by a signal": ({}, f"run: [{PYTHON}, -c, 'import os; os.kill(os.getpid(), 11)']", "signal 11"),
    "never gets ready": ({"NEVER_READY": 1}, "health: {path: /healthz, grace: 10s}", "GET /healthz answered 503"),
    "listens elsewhere": ({"WRONG_PORT": 1}, "health: {path: /healthz, grace: 10s}", "instead of $PORT"),
    "takes too much memory": ({"MEMORY_HOG": 200_000_000}, "resources: {memory: 64Mi}", "out of memory"),
    "fails before": ({}, f"deploy: {{before: [{PYTHON}, -c, '{FAIL}']}}", "before: exit code 4"),
    "has no such command": ({}, "run: [no-such-program, --now]", "no such command"),
}  # fmt: skip

LAST_LINES = {
    "crashes": "web: cannot start: told to exit",
    "never gets ready": "web two: listening on",
    "listens elsewhere": "web two: listening on",
    "fails before": "no such table",
    "has no such command": "no-such-program",
}


OF_FUNCTIONS = {
    "crashes": "its first sandbox did not come up: its program: Runtime.ExitError: the program has ended with exit",
    "dies by a signal": "the program has ended with signal: SIGSEGV",
    "never gets ready": "its first sandbox has not come up yet",
    "listens elsewhere": "its first sandbox has not come up yet",
    "takes too much memory": "its first sandbox did not come up: its program: out of memory",
    "has no such command": "No such file or directory: 'no-such-program'",
}
"""Other words: a sandbox has failed, and its invoker tells of it."""
NEEDS = {"takes too much memory": needs("memory")}


@pytest.mark.parametrize("cause", [pytest.param(cause, marks=NEEDS.get(cause, ())) for cause in CAUSES])
def test_the_old_version_serves_on(home: Home, cause: str, pattern: str) -> None:
    environ, extra, words = CAUSES[cause]
    words = OF_FUNCTIONS.get(cause, words) if pattern == "function" else words
    extra = extra.replace("grace: 10s", "grace: 40s") if pattern == "vm" else extra  # it has to boot first
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    with Load(f"http://127.0.0.1:{home.port}/", connections=2, rps=50) as load:
        file.write_text(changed(home.port, extra, environ))
        failed = home.run("up", "-f", str(file), code=1)
    said = failed.stdout + failed.stderr
    assert words in said
    assert LAST_LINES.get(cause, "") in said, said
    assert not load.report().failures, str(load.report())
    assert home.get().headers["x-version"] == "one"
    service = home.service()
    assert service["release"] == 1 and service["ready"] == 1
    assert service["deployment"]["state"] == "rolled-back"
    assert words in service["deployment"]["reason"]
    explained = home.run("explain", "-a", "app", "web", code=None).stdout
    assert words in explained
    assert "last lines" not in explained or "last lines of app.web-2-" in explained
    assert not words.startswith("out of memory") or "it reached its memory limit (64 MiB)" in explained


def changed(port: int, extra: str, environ: dict[str, Any]) -> str:
    """The file with `extra` in place of the keys that it has too."""
    text = web_file(port, extra=extra, VERSION="two", **environ)
    key = extra.partition(":")[0]
    lines = text.splitlines()
    doubled = [n for n, line in enumerate(lines) if key and line.startswith(f"    {key}:")]
    if len(doubled) > 1:
        del lines[doubled[0]]
    return "\n".join(lines) + "\n"


def test_a_first_deploy_that_fails_leaves_nothing_running(home: Home) -> None:
    file = home.app(web_file(home.port, EXIT_CODE=3))
    failed = home.run("up", "-f", str(file), code=1)
    assert re.search("exit (code|status) 3", failed.stdout + failed.stderr)
    service = home.service()
    assert service["deployment"]["state"] == "failed" and service["instances"] == []
    file.write_text(web_file(home.port, VERSION="mended"))
    home.run("up", "-f", str(file))
    assert home.get().headers["x-version"] == "mended"


def test_a_dependent_is_not_deployed_when_what_it_needs_failed(home: Home) -> None:
    sleep = f"run: [{PYTHON}, -c, 'import time; time.sleep(1000)']"
    text = web_file(home.port, EXIT_CODE=3).replace(
        "gateway:", f"  later:\n    pattern: process\n    source: ./web\n    {sleep}\n    depends_on: [web]\ngateway:"
    )
    failed = home.run("up", "-f", str(home.app(text)), code=1)
    assert "it depends on that" in failed.stdout + failed.stderr
    assert home.instances("later") == []


def test_a_build_that_fails_changes_nothing(home: Home) -> None:
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    file.write_text(web_file(home.port, extra="build: echo cannot compile; exit 7", VERSION="two"))
    failed = home.run("up", "-f", str(file), code=1)
    assert "cannot compile" in failed.stdout + failed.stderr
    assert home.service()["release"] == 1 and home.service()["deployment"]["state"] == "done"
