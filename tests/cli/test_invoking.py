"""`invoke` against a fake control layer."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from fourfold.errors import WorldError
from tests.api.serving import Serving
from tests.cli.conftest import Cli


def given(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()))


def events(server: Serving) -> list[tuple[bytes, str, bool, int | None]]:
    return [arguments[2:] for method, arguments in server.facade.calls if method == "invoke"]


def test_where_an_event_comes_from(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", given('["from", "stdin"]'))
    assert cli("invoke", "thumb").out == '{"ok": true}\n'
    file = tmp_path / "event.json"
    file.write_text('{"from": "file"}')
    cli("invoke", "thumb", "--file", str(file), "--tail")
    cli("invoke", "thumb", "-d", '{"a": 1}', "--context", '{"client": {}}', "--release", "3")
    monkeypatch.setattr("sys.stdin", given(""))
    cli("invoke", "thumb")
    assert events(server) == [
        (b'["from", "stdin"]', "", False, None),
        (b'{"from": "file"}', "", True, None),
        (b'{"a": 1}', '{"client": {}}', False, 3),
        (b"{}", "", False, None),
    ]


def test_what_comes_back(cli: Cli, server: Serving) -> None:
    log = "START RequestId: 1-2\nREPORT RequestId: 1-2\tDuration: 3 ms\n"
    server.facade.answered = server.facade.answered.model_copy(
        update={"error": "Unhandled", "payload": '{"errorType": "ValueError"}', "log": log}
    )
    result = cli("invoke", "thumb", "-d", "{}", "--tail")
    assert (result.code, result.out, result.err) == (1, '{"errorType": "ValueError"}\n', log)
    told = json.loads(cli("invoke", "thumb", "-d", "{}", "-o", "json").out)
    assert told["error"] == "Unhandled" and told["request_id"] == "1-2"


@pytest.mark.parametrize(("status", "said"), [(429, "as many events as it takes"), (503, "it cannot run now")])
def test_events_that_are_not_taken(cli: Cli, server: Serving, status: int, said: str) -> None:
    server.facade.answered = server.facade.answered.model_copy(update={"status": status})
    result = cli("invoke", "thumb", "-d", "{}")
    assert result.code == 1 and said in result.err and "hint: " in result.err
    server.facade.fails["invoke"] = WorldError("cannot invoke thumb: no instance of it is ready", "see: explain")
    assert cli("invoke", "thumb", "-d", "{}").code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-d", "{nonsense"), "cannot send the event: it is not JSON"),
        (("-d", "{}", "--context", "x"), "cannot send --context: it is not JSON"),
        (("--file", "/nonexistent"), "cannot read the event in /nonexistent"),
        (("-d", "{}", "--file", "x"), "from -d or from --file, not both"),
        (("-d", json.dumps("x" * 7 * 1024 * 1024)), "it is larger than 6 MiB"),
    ],
    ids=["event", "context", "file", "both", "large"],
)
def test_nonsense_is_refused(cli: Cli, server: Serving, arguments: tuple[str, ...], said: str) -> None:
    result = cli("invoke", "thumb", *arguments)
    assert result.code == 2 and said in result.err and not events(server)
