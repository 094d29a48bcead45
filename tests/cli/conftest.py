"""The command line against a fake control layer, through the real API on a real Unix socket."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fourfold.cli.main import run
from tests.api.serving import Serving, serving
from tests.cli.changes import FILE


@dataclass
class Result:
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty FOURFOLD_HOME, and an empty folder to be in."""
    with tempfile.TemporaryDirectory(prefix="ff-") as folder:
        (Path(folder) / "work").mkdir()
        monkeypatch.chdir(Path(folder) / "work")
        for name in [name for name in os.environ if name.startswith("FOURFOLD_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("FOURFOLD_HOME", folder)
        monkeypatch.setenv("USER", "alice")
        monkeypatch.delenv("SUDO_USER", raising=False)
        monkeypatch.setenv("TZ", "UTC")
        monkeypatch.setattr("fourfold.cli.link.elsewhere.others", lambda paths, app: iter(()))
        time.tzset()
        yield Path(folder)


@pytest.fixture
def server(home: Path) -> Iterator[Serving]:
    with serving(home / "run/fourfold.sock") as running:
        yield running


@pytest.fixture
def cli(home: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> Result:
        capfd.readouterr()
        code = run(list(arguments))
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(autouse=True)
def morning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now is an hour after everything that the fake knows of."""
    from datetime import UTC, datetime

    monkeypatch.setattr("fourfold.cli.printing.formats.utc_now", lambda: datetime(2026, 11, 22, 9, 0, 5, tzinfo=UTC))


@pytest.fixture
def app(home: Path) -> Path:
    """A folder with the service file and the sources that it names."""
    work = home / "work"
    (work / "fourfold.yaml").write_text(FILE)
    for name, text in (("catalog", "print(1)"), ("docs", "hello")):
        (work / name).mkdir()
        (work / name / "app.py").write_text(text)
    return work
