"""What no handler ever sees: names that are none, and bodies that are larger than their route takes."""

from __future__ import annotations

import socket

import httpx
import pytest

from fourfold.api.rights import SMALL
from tests.api.serving import Serving

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


def test_blobs_are_as_large_as_they_are(http: httpx.Client, server: Serving) -> None:
    content = b"x" * (3 * SMALL)
    frame = b"%064d %d\n" % (1, len(content)) + content
    assert http.post("/v1/blobs", content=iter([frame])).status_code == 204
    assert len(server.facade.blobs[f"{1:064d}"]) == len(content)


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
    ],
)
def test_numbers_and_times_beyond_what_there_is(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 422
