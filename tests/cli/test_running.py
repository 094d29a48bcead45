"""`run` of jobs: lines and exit codes are the run's own, over a restart of the daemon too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fourfold.supervise.model import LogLine
from tests.api import fake, sample
from tests.api.serving import Serving, serving
from tests.cli.conftest import Cli


def test_a_run_prints_its_lines_and_passes_its_code_on(cli: Cli, server: Serving) -> None:
    server.facade.run_lines = [LogLine(1795334400.0, "one"), LogLine(1795334401.0, "two")]
    result = cli("run", "nightly")
    assert (result.code, result.out) == (7, "one\ntwo\n")
    assert "the run of nightly failed: exit code 7" in result.err

    server.facade.run_ended = sample.run_view(state="timeout", code=None, attempts=2, reason="it did not end within 1m")
    result = cli("run", "nightly", "-o", "json")
    lines = [json.loads(line) for line in result.out.splitlines()[:2]]
    assert [line["text"] for line in lines] == ["one", "two"] and result.code == 1
    assert json.loads("".join(result.out.splitlines()[2:]))["state"] == "timeout"
    assert cli("run", "nightly", "--detach").out == "shop.nightly-1-abcde\n"


def test_a_run_is_followed_over_a_restart_of_the_daemon(home: Path) -> None:
    """From where it was: each line once."""
    with serving(home / "run/fourfold.sock") as first:
        first.facade.run_lines = [LogLine(1795334400.0, "one")]
        first.facade.run_hangs = True
        process = subprocess.Popen(
            [sys.executable, "-m", "fourfold", "run", "nightly", "-a", "shop"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stdout.readline() == "one\n"
    second = fake.FakeFacade()
    second.run_lines = [LogLine(1795334400.0, "one"), LogLine(1795334401.0, "two")]
    with process, serving(home / "run/fourfold.sock", second):
        assert process.stdout.read() == "two\n"
        assert process.wait(60) == 7
