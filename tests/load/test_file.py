"""Files of requests: what is read from them, and what is refused and why."""

from __future__ import annotations

import json

import pytest

from fourfold.errors import UserError
from fourfold.load.file import parse
from fourfold.load.model import Request

JSON = (("Content-Type", "application/json"),)


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        ("GET /\n", [Request()]),
        ("# what the shop asks\n\nget /items?page=2\n", [Request("GET", "/items?page=2")]),
        ("GET /a\nGET /b\nGET /a\n", [Request("GET", "/a", weight=2), Request("GET", "/b")]),
        ('{"path": "/x"}', [Request("GET", "/x")]),
        ('{"path": "/x", "weight": 0.5}\nGET /x', [Request("GET", "/x", weight=1.5)]),
        ('{"method": "POST", "path": "/o", "body": "a=1"}', [Request("POST", "/o", (), b"a=1")]),
        ('{"method": "POST", "path": "/o", "body": {"i": 1}}', [Request("POST", "/o", JSON, b'{"i": 1}')]),
        (
            '{"method": "PUT", "path": "/o", "body": [1], "headers": {"content-type": "text/x"}}',
            [Request("PUT", "/o", (("content-type", "text/x"),), b"[1]")],
        ),
    ],
)
def test_what_is_read(text: str, requests: list[Request]) -> None:
    assert list(parse(text)) == requests


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "there is no request in it"),
        ("# nothing", "there is no request in it"),
        ("GET", "f:1: 'GET' is not a method and a path"),
        ("GET /a b", "is not a method and a path"),
        ("GET items", "'items' is not a path"),
        ("GET http://other/", "is not a path"),
        ("GET /ü", "is not a path"),
        ("GET /a#b", "is not a path"),
        ("G(T /", "'G(T' is not a method"),
        ("CONNECT /", "is not a method"),
        ("{", "it is not JSON"),
        ('{"method": "GET"}', "method and path are to be texts"),
        ('{"path": "/", "wieght": 2}', "there is no key 'wieght'"),
        ('{"path": "/", "weight": 0}', "weight is to be a number above 0"),
        ('{"path": "/", "weight": NaN}', "weight is to be a number above 0"),
        ('{"path": "/", "weight": true}', "weight is to be a number above 0"),
        ('{"path": "/", "headers": ["a"]}', "headers are to be names with texts"),
        ('{"path": "/", "headers": {"A": 1}}', "headers are to be names with texts"),
        ('{"path": "/", "headers": {"A b": "x"}}', "is not a header"),
        (json.dumps({"path": "/", "headers": {"A": "x\r\nB: y"}}), "is not a header"),
        ('{"path": "/", "headers": {"Content-Length": "5"}}', "is not the file's to set"),
        ('{"path": "/ HTTP/1.1"}', "is not a path"),
    ],
)
def test_what_is_refused(line: str, why: str) -> None:
    with pytest.raises(UserError, match=r"cannot use f") as caught:
        parse(line, "f")
    assert why in caught.value.what


def test_of_several_lines_the_bad_one_is_named() -> None:
    with pytest.raises(UserError, match=r"cannot use load\.txt:3:"):
        parse("GET /\n\nnonsense\n", "load.txt")
