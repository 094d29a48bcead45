"""What no handler ever sees: names that are none, and bodies that are larger than their route takes."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from fourfold.api.app import create_app
from fourfold.api.bounds import Bounds
from fourfold.api.network.acting import KEPT, Caller
from fourfold.api.network.rights import MANIFEST, SMALL
from fourfold.api.text import has_more
from tests.api.fake import FakeFacade
from tests.api.serving import Serving, eventually

TRICKS = [
    "..", ".", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2fetc", "a%00b", "%00", "a%0ab", "a%0d%0ab",
    "a b", "~", "%F0%9F%92%A9",
    "%ff%fe", "caf%C3%A9", "-rf", ".hidden",
    "a\\b", "a%5c..%5cb", "x" * 201, "x" * 5000, "{app}", "$(id)", "a;b", "a'b",
]  # fmt: skip


@pytest.mark.parametrize("name", TRICKS, ids=lambda name: name[:20])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/apps/NAME"),
        ("PUT", "/v1/apps/NAME/secrets"),
        ("POST", "/v1/apps/shop/services/NAME/scale"),
        ("GET", "/v1/apps/shop/runs/NAME/follow"),
        ("DELETE", "/v1/tokens/NAME"),
    ],
)
def test_a_name_that_is_none(server: Serving, method: str, path: str, name: str) -> None:
    """Sent as it is: clients' libraries would tidy some of them up."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.socket))
        target = path.replace("NAME", name.replace(" ", "%20"))
        client.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = client.makefile("rb").read()
    assert answer.split(b" ", 2)[1] in (b"404", b"405", b"400")
    assert server.facade.calls == []


def test_names_that_are_some(http: httpx.Client, server: Serving) -> None:
    for name in ("a", "a-1", "shop.nightly-1-abcde", "A_b", "x" * 200):
        http.get(f"/v1/apps/{name}/history")
    assert len(server.facade.calls) == 5


def test_a_body_as_large_as_it_may_be_and_one_byte_larger(http: httpx.Client, server: Serving) -> None:
    http.headers["content-type"] = "application/json"
    rest = b'{"services": []}'
    assert http.post("/v1/apps/shop/stop", content=rest.ljust(SMALL)).status_code == 202
    for content in (rest.ljust(SMALL + 1), iter([rest, b" " * SMALL])):
        answer = http.post("/v1/apps/shop/stop", content=content)
        assert answer.status_code == 413
        assert answer.json()["error"] == "cannot answer: its body is longer than the 1048576 bytes that it may have"
        assert answer.headers["connection"] == "close"
    assert len(server.facade.calls) == 1


def test_more_values_than_a_body_may_have(http: httpx.Client, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be an object, and a complaint. Text in strings is no value, whatever it is."""
    monkeypatch.setattr("fourfold.api.text.VALUES", 500)
    monkeypatch.setattr("fourfold.api.text.BULK", 8000)
    http.headers["content-type"] = "application/json"
    for path, body, code, said in (
        ("/v1/apps/shop/stop", f'{{"services": [{"[]," * 600}1]}}', 413, "its JSON has more than 500 values"),
        ("/v1/apps/shop/stop", f'{{"services": [{"{}," * 600}1]}}', 413, "its JSON has more than 500 values"),
        ("/v1/apps/shop/stop", f'{{"services": [{"1," * 400}1]}}', 422, "; and 381 more"),
        ("/v1/apps/shop/stop", f'{{"services": {"[" * 70 + "]" * 70}}}', 413, "is nested deeper than 64 levels"),
        ("/v1/builds", f'{{"spec": [{"[]," * 51_000}1]}}', 413, "its JSON has more than 50,000 values"),
        ("/v1/sources", f'{{"entries": [{"1," * 1000}1]}}', 200, ""),
        ("/v1/sources", f'{{"entries": [{"1," * 9000}1]}}', 413, "has more than 8,000 values"),
        ("/v1/sources", f'{{"other": [{"1," * 1000}1]}}', 413, "has more than 500 values beside `entries`"),
        ("/v1/apps/shop/advice", f'{{"usage": {{"w": [{"1," * 1000}1]}}}}', 422, "or an instance of Hour"),
        ("/v1/apps/shop/advice", json.dumps({"usage": dict.fromkeys(map(str, range(2000)))}), 422, "1,000 services"),
    ):
        answer = http.post(path, content=body)
        assert answer.status_code == code, answer.text
        assert answer.json().get("error", "").endswith(said)
    assert [name for name, _ in server.facade.calls] == ["offer_source"]
    for text in (",[{" * 600, '\\",' * 600):
        body = f'{{"services": ["{text}"]}}'
        assert http.post("/v1/apps/shop/stop", content=body).status_code == 202


@pytest.mark.parametrize("wrong", ['"requests": 1e999', '"requests": NaN', '"requests": -1', '"cpu_seconds": 1e300'])
def test_hours_that_cannot_be(http: httpx.Client, server: Serving, wrong: str) -> None:
    http.headers["content-type"] = "application/json"
    hour = f'{{"start": 0, "requests": 5, {wrong}}}'
    answer = http.post("/v1/apps/shop/advice", content=f'{{"usage": {{"web": [{hour}]}}}}')
    assert answer.status_code == 422 and "body.usage.web.0." in answer.json()["error"]
    assert not server.facade.calls


@pytest.mark.parametrize("text", [b'"' + b'\\"' * 500_000, b'"' * 500_001, b'"' + b"\\" * 500_001, b'"a\\'])
def test_strings_that_do_not_end_are_looked_at_once(text: bytes) -> None:
    assert not has_more(b"," * 11 + text, 11)
    assert has_more(b"," * 11 + text, 10)


def test_what_one_token_holds_at_once() -> None:
    """All of its requests together, until they are answered; others, and the socket's user, are not kept waiting."""
    answers: list[int] = []

    async def go() -> None:
        go_on = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await receive()
                answers.append(200)
                await go_on.wait()
            except HTTPException as error:
                answers.append(error.status_code)

        async def receive() -> Message:
            return {"type": "http.request", "body": bytes(MANIFEST)}

        async def send(message: Message) -> None:
            return

        bounds = Bounds(app, create_app(FakeFacade()))
        tasks = []
        for token in ["ci"] * 5 + ["other"] + [""] * 5:
            scope = {"type": "http", "method": "POST", "path": "/v1/sources", "headers": []}
            caller = {KEPT: Caller(token, "deploy")} if token else {}
            tasks.append(asyncio.create_task(bounds({**scope, **caller}, receive, send)))
            await asyncio.sleep(0)
        assert answers == [200, 200, 200, 200, 429] + [200] * 6
        go_on.set()
        await asyncio.gather(*tasks)
        await bounds({**scope, KEPT: Caller("ci", "deploy")}, receive, send)
        assert answers[-1] == 200

    asyncio.run(go())


def test_blobs_are_as_large_as_they_are(http: httpx.Client, server: Serving) -> None:
    content = b"x" * (3 * SMALL)
    frame = b"%064d %d\n" % (1, len(content)) + content
    assert http.post("/v1/blobs", content=iter([frame])).status_code == 204
    assert len(server.facade.blobs[f"{1:064d}"]) == len(content)


def test_a_client_that_goes_away_is_no_fault(server: Serving, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.socket))
        client.sendall(b"POST /v1/blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"%064d 9\n" % 1)
        eventually(lambda: server.facade.calls != [])
    eventually(lambda: server.facade.broken_off is not None)
    assert str(server.facade.broken_off) == "cannot take the request: it broke off"
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


@pytest.mark.parametrize("half", ["\\ud800", "\\uDFFF", "x\\ud83dx"])
def test_half_of_a_character(http: httpx.Client, server: Serving, half: str) -> None:
    """JSON can write it (RFC 8259, section 8.2); nothing can store it, or answer it."""
    headers = {"content-type": "application/json"}
    for body in (f'{{"services": ["{half}"]}}', f'{{"{half}": 1}}'):
        assert http.post("/v1/apps/shop/stop", content=body, headers=headers).status_code == 422
    whole = '{"services": ["\\ud83d\\ude00", "\\\\ud800"]}'
    assert http.post("/v1/apps/shop/stop", content=whole, headers=headers).status_code == 202
    assert [name for name, _ in server.facade.calls] == ["stop"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/events?after=18446744073709551616",
        "/v1/apps/shop/logs?since=0001-01-01T00:00:00%2B14:00&tail=9223372036854775808",
        "/v1/apps/shop/logs?since=0001-01-01T00:00:00",
        "/v1/events?since=0001-01-01T00:00:00",
    ],
)
def test_numbers_and_times_beyond_what_there_is(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 422
