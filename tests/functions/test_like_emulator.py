"""Answer by answer the same as aws-lambda-rie, which is AWS's own code, with the same handlers and runtime client."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.functions.emulator import PATH, emulator
from tests.functions.rig import HANDLERS, eventually, in_loop, make_config, running

UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
CASES: list[tuple[str, Any]] = [
    ("success", {"do": "echo", "with": ["ü", 1.5, None]}),
    ("handled error", {"do": "fail"}),
    ("not JSON", {"do": "not json"}),
    ("as much as may be", {"do": "size", "size": 6_291_554}),
    ("too much", {"do": "size", "size": 6_291_555}),
    ("exit 0", {"do": "sys.exit", "code": 0}),
    ("exit 5", {"do": "sys.exit", "code": 5}),
    ("os._exit", {"do": "os._exit", "code": 127}),
    ("signal", {"do": "kill"}),
]


@pytest.mark.parametrize("event", [pytest.param(event, id=name) for name, event in CASES])
def test_the_same_event_has_the_same_answer(tmp_path: Path, event: Any) -> None:
    async def ours() -> bytes:
        async with running(tmp_path, make_config(tmp_path)) as rig:
            return (await rig.invoke(event)).payload

    same(in_loop(ours()), theirs("app.by_name", event))


def test_a_timeout_is_told_in_the_same_words(tmp_path: Path) -> None:
    """The emulator leaves out the JSON around them, which AWS itself sends."""

    late = {"do": "sleep", "seconds": 60}

    async def ours() -> bytes:
        async with running(tmp_path, make_config(tmp_path, timeout=1.0)) as rig:
            return (await rig.invoke(late)).payload

    told = json.loads(in_loop(ours()))
    assert told["errorMessage"].endswith(f"Error: {theirs('app.by_name', late, 1).decode()}")


@pytest.mark.parametrize("handler", ["broken.handler", "app.nothing"])
def test_an_init_that_fails_is_told_the_same(tmp_path: Path, handler: str) -> None:
    async def ours() -> bytes:
        """The function breaks after it was deployed."""
        async with running(tmp_path, make_config(tmp_path, idle=0.01)) as rig:
            await eventually(lambda: not rig.invoker.state()["sandboxes"])
            object.__setattr__(rig.config, "argv", (*rig.config.argv[:-1], handler))
            return (await rig.invoke({})).payload

    same(in_loop(ours()), theirs(handler, {}))


def theirs(handler: str, event: Any, timeout: int = 60) -> bytes:
    with emulator(HANDLERS, handler, timeout) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", PATH, json.dumps(event))
        return connection.getresponse().read()


def same(ours: bytes, theirs: bytes) -> None:
    """But for request ids, which are everybody's own, and the order of keys in one of them."""
    mine, other = (json.loads(UUID.sub(b"ID", body)) for body in (ours, theirs))
    assert mine == other
