"""A handler is a process, and then a container or a machine, by one word: our server calls it."""

from __future__ import annotations

import psutil
import pytest

from tests.e2e.home import Home
from tests.support.wait import until

pytestmark = pytest.mark.patterns("container", "vm")
FILE = """
app: app
gateway: {{listen: "127.0.0.1:{port}"}}
services:
  py: {{source: ./web, function: {{handler: app.handler}}, route: {{path: /py}}}}
"""
HANDLER = "import os\ndef handler(event, context): return {'path': event['rawPath'], 'pid': os.getpid()}"


def test_there_and_back_and_an_import_error(home: Home, pattern: str) -> None:
    file = home.app(FILE.format(port=home.port))
    handler = file.parent / "web/app.py"
    handler.write_text(HANDLER)
    home.run("up", "-f", str(file))
    worker = psutil.Process(home.get("/py").json()["pid"])
    worker.kill()
    until(lambda: home.get("/py").json()["pid"] != worker.pid, what="another worker")
    assert home.service("py")["instances"][0]["restarts"] == 0
    home.run("deploy", "-f", str(file), "py", "--as", pattern)
    assert home.service("py")["pattern"] == pattern and home.get("/py/a").json()["path"] == "/py/a"
    handler.write_text("import nowhere")
    failed = home.run("up", "-f", str(file), code=1)
    assert "No module named 'nowhere'" in failed.stdout + failed.stderr
    assert home.get("/py").json()["path"] == "/py" and home.service("py")["release"] == 1
