"""What the commands that are used most do not wait for: imports are nearly all of their time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.api import sample
from tests.api.serving import Serving

HEAVY = (
    "pydantic", "pydantic_core", "httpx", "http.client", "ssl", "email", "asyncio", "fastapi", "websockets", "rich",
    "importlib.metadata", "fourfold.control.views", "fourfold.spec.model", "pathspec", "typing_extensions",
)  # fmt: skip
FOR_FILES = ("ruamel", "hashlib")
"""Needed where a service file is read."""
FILE = "app: shop\nservices: {catalog: {source: ./code, run: x}}\n"


@pytest.fixture
def app(home: Path) -> None:
    (home / "work/code").mkdir()
    (home / "work/code/main.py").write_text("print()\n")
    (home / "work/fourfold.yaml").write_text(FILE)


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        ("version", HEAVY + FOR_FILES),
        ("apps", HEAVY + FOR_FILES),
        ("status", HEAVY + FOR_FILES),
        ("events", HEAVY + FOR_FILES),
        ("logs", HEAVY + FOR_FILES),
        ("history", HEAVY + FOR_FILES),
        ("scale catalog=1", HEAVY + FOR_FILES),
        ("restart catalog", HEAVY + FOR_FILES),
        ("rollback catalog", HEAVY + FOR_FILES),
        ("stop catalog", HEAVY + FOR_FILES),
        ("up", HEAVY),
        ("deploy catalog", HEAVY),
        ("plan", HEAVY),
    ],
)
def test_commands_import_nothing_heavy(server: Serving, app: None, line: str, heavy: tuple[str, ...]) -> None:
    server.facade.lines = []
    server.facade.happened = [sample.event(3, "operation.done", "done")]
    code = (
        "import sys\n"
        "from fourfold.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        f"print('ended', code, [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "ended 0 []", done.stderr
