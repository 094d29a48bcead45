"""HTTP requests as events, checked by the strict models of aws-lambda-powertools, and results as HTTP answers."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

import pytest
from aws_lambda_powertools.utilities.parser.models import (
    APIGatewayProxyEventModel,
    APIGatewayProxyEventV2Model,
    LambdaFunctionUrlModel,
)

from fourfold.functions.httpevents import Asked, Place, event
from fourfold.functions.httppaths import match, routes
from fourfold.functions.httpresults import MalformedError, answer, prelude

V1, V2 = Place("123456789012", "abcdef0123", "v1"), Place("123456789012", "abcdef0123", "v2")
ID = "8f5b1f2c-0a51-4b7e-9b1e-0c2f3a4d5e6f"
HEADERS = [
    (b"Host", b"10.0.0.1:8080"), (b"User-Agent", b"curl/8"), (b"X-Many", b"one"), (b"X-Many", b"two"),
    (b"Cookie", b"a=1; b=2"), (b"X-Forwarded-For", b"6.6.6.6, 192.0.2.7"), (b"X-Forwarded-Host", b"shop.example.com"),
    (b"X-Forwarded-Proto", b"https"), (b"Content-Type", b"application/json"), (b"Connection", b"keep-alive"),
]  # fmt: skip


def made(place: Place, body: bytes = b"", kind: str = "", **changes: Any) -> dict[str, Any]:
    headers = [(name, value) for name, value in HEADERS if not (kind and name == b"Content-Type")]
    headers += [(b"Content-Type", kind.encode())] if kind else []
    asked = {"method": "POST", "target": b"/a%20b/c?x=1&x=2&y=&z=%C3%BC", "headers": headers, "body": body} | changes
    found: dict[str, Any] = json.loads(event(Asked(**asked), place, ID, 1764000000.25))
    return found


def test_version_2() -> None:
    found = made(V2, b'{"k": 1}')
    APIGatewayProxyEventV2Model.model_validate(found)
    LambdaFunctionUrlModel.model_validate(found)
    assert (found["version"], found["routeKey"]) == ("2.0", "$default")
    assert (found["rawPath"], found["rawQueryString"]) == ("/a%20b/c", "x=1&x=2&y=&z=%C3%BC")
    assert found["queryStringParameters"] == {"x": "1,2", "y": "", "z": "ü"}
    assert found["cookies"] == ["a=1", "b=2"] and "cookie" not in found["headers"]
    assert found["headers"]["x-many"] == "one,two" and "connection" not in found["headers"]
    assert (found["body"], found["isBase64Encoded"]) == ('{"k": 1}', False)
    context = found["requestContext"]
    assert context["http"] == {
        "method": "POST", "path": "/a%20b/c", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "curl/8",
    }  # fmt: skip
    assert (context["domainName"], context["domainPrefix"]) == ("shop.example.com", "shop")
    assert (context["time"], context["timeEpoch"]) == ("24/Nov/2025:16:00:00 +0000", 1764000000250)
    bare = made(V2, headers=[], target=b"/", method="GET")
    APIGatewayProxyEventV2Model.model_validate(bare)
    assert not {"cookies", "queryStringParameters", "body"} & bare.keys()


def test_version_1() -> None:
    found = made(V1, b'{"k": 1}')
    APIGatewayProxyEventModel.model_validate(found)
    assert (found["path"], found["resource"], found["pathParameters"]) == ("/a b/c", "/{proxy+}", {"proxy": "a b/c"})
    assert found["headers"]["X-Many"] == "two" and found["multiValueHeaders"]["X-Many"] == ["one", "two"]
    assert found["queryStringParameters"] == {"x": "2", "y": "", "z": "ü"}
    assert found["multiValueQueryStringParameters"]["x"] == ["1", "2"]
    assert found["headers"]["Cookie"] == "a=1; b=2" and found["stageVariables"] is None
    context = found["requestContext"]
    assert (context["identity"]["sourceIp"], context["domainName"]) == ("192.0.2.7", "shop.example.com")
    assert (context["requestTime"], context["requestTimeEpoch"]) == ("24/Nov/2025:16:00:00 +0000", 1764000000250)
    bare = made(V1, headers=[], target=b"/", method="GET")
    APIGatewayProxyEventModel.model_validate(bare)
    assert (bare["body"], bare["queryStringParameters"], bare["pathParameters"]) == (None, None, None)


ROUTES = routes((
    "ANY /{all+}", "/orders/{id}", "GET /orders/{id}", "/orders/new", "GET /files/{name+}", "/files/{a}/{b}", "/",
    "/a%20b/{x.y}/end",
))  # fmt: skip
PATHS = [
    ("GET", "/orders/new", "ANY /orders/new", {}),
    ("GET", "/orders/7", "GET /orders/{id}", {"id": "7"}),
    ("PUT", "/orders/7", "ANY /orders/{id}", {"id": "7"}),
    ("PUT", "/orders/7/lines", "ANY /{all+}", {"all": "orders/7/lines"}),
    ("PUT", "/orders/", "ANY /{all+}", {"all": "orders/"}),
    ("PUT", "/orders", "ANY /{all+}", {"all": "orders"}),
    ("GET", "/files/a/b", "ANY /files/{a}/{b}", {"a": "a", "b": "b"}),
    ("GET", "/files/a/b/c%2F%C3%BC", "GET /files/{name+}", {"name": "a/b/c/ü"}),
    ("PUT", "/files/a", "ANY /{all+}", {"all": "files/a"}),
    ("GET", "/orders/a%2Fb", "GET /orders/{id}", {"id": "a/b"}),
    ("GET", "/a b/%zz/end", "ANY /a%20b/{x.y}/end", {"x.y": "%zz"}),
    ("GET", "/", "ANY /", {}),
]


@pytest.mark.parametrize(("method", "path", "key", "values"), PATHS)
def test_the_most_specific_route_is_taken(method: str, path: str, key: str, values: dict[str, str]) -> None:
    found = match(ROUTES, method, path)
    assert found is not None and (found[0].key, found[1]) == (key, values)


def test_events_of_routes() -> None:
    known = routes(("GET /orders/{id}", "/files/{name+}"))
    v1, v2 = (Place("123456789012", "abcdef0123", each, known) for each in ("v1", "v2"))
    second = made(v2, method="GET", target=b"/orders/a%20b?x=1")
    APIGatewayProxyEventV2Model.model_validate(second)
    assert second["routeKey"] == second["requestContext"]["routeKey"] == "GET /orders/{id}"
    assert (second["pathParameters"], second["rawPath"]) == ({"id": "a b"}, "/orders/a%20b")
    first = made(v1, method="PUT", target=b"http://shop.example.com/files/a/b")
    APIGatewayProxyEventModel.model_validate(first)
    assert first["resource"] == first["requestContext"]["resourcePath"] == "/files/{name+}"
    assert (first["pathParameters"], first["path"]) == ({"name": "a/b"}, "/files/a/b")
    other = made(v2, method="PUT", target=b"/orders/7")
    assert other["routeKey"] == "$default" and "pathParameters" not in other
    assert made(v1, method="PUT", target=b"/orders/7")["resource"] == "/{proxy+}"


BODIES = [
    ("v2", "application/json", b'"\xc3\xbc"', "ü"),
    ("v2", "text/plain; charset=utf-8", b"text", "text"),
    ("v2", "application/vnd.api+json", b"{}", "{}"),
    ("v2", "application/x-www-form-urlencoded", b"a=1", None),
    ("v1", "application/x-www-form-urlencoded", b"a=1", "a=1"),
    ("v2", "image/png", b"\x89PNG", None),
    ("v1", "application/octet-stream", b"abc", None),
    ("v2", "text/plain", b"\xff\xfe", None),
]


@pytest.mark.parametrize(("version", "kind", "body", "text"), BODIES)
def test_bodies_that_are_no_text_are_base64(version: str, kind: str, body: bytes, text: str | None) -> None:
    found = made(V1 if version == "v1" else V2, body, kind)
    assert found["isBase64Encoded"] is (text is None)
    got = base64.b64decode(found["body"]) if text is None else found["body"].encode()
    assert got == body


def test_what_is_compressed_is_no_text() -> None:
    headers = [(b"Content-Type", b"text/plain"), (b"Content-Encoding", b"gzip")]
    assert made(V2, b"abc", headers=headers)["isBase64Encoded"] is True


TEXT = "content-type: text/plain;charset=UTF-8"
RESULTS: list[tuple[Literal["v1", "v2"], Any, int, list[str], bytes]] = [
    ("v2", {"statusCode": 201, "headers": {"X-A": "1"}, "body": "ü"}, 201, ["X-A: 1", TEXT], "ü".encode()),
    ("v2", {"statusCode": "204"}, 204, [TEXT], b""),
    ("v2", {"statusCode": 200, "cookies": ["a=1; Secure", "b=2"]}, 200, [
        "set-cookie: a=1; Secure", "set-cookie: b=2", TEXT], b""),
    ("v2", {"statusCode": 200, "body": "AAH/", "isBase64Encoded": True}, 200, [TEXT], b"\x00\x01\xff"),
    ("v2", {"statusCode": 200, "headers": {"Content-Type": "image/png", "N": 5, "B": True, "Content-Length": "9"}},
     200, ["Content-Type: image/png", "N: 5", "B: true"], b""),
    ("v2", {"no": "statusCode"}, 200, ["content-type: application/json"], b'{"no": "statusCode"}'),
    ("v2", "text", 200, ["content-type: application/json"], b'"text"'),
    ("v2", None, 200, ["content-type: application/json"], b"null"),
    ("v1", {"statusCode": 200, "headers": {"A": "1"}, "multiValueHeaders": {"a": ["2", "3"], "Set-Cookie": ["x", "y"]}},
     200, ["a: 1", "a: 2", "a: 3", "Set-Cookie: x", "Set-Cookie: y", "content-type: application/json"], b""),
]  # fmt: skip


@pytest.mark.parametrize(("version", "result", "status", "headers", "body"), RESULTS)
def test_results(version: str, result: Any, status: int, headers: list[str], body: bytes) -> None:
    found = answer(json.dumps(result).encode(), V1 if version == "v1" else V2)
    assert found.status == status and found.body == body
    assert found.headers.decode().split("\r\n")[:-1] == headers


MALFORMED = [
    ("v1", {"no": "statusCode"}), ("v1", "text"), ("v1", None), ("v2", {"statusCode": None}),
    ("v2", {"statusCode": 99}),
    ("v2", {"statusCode": True}), ("v2", {"statusCode": 200, "body": {}}), ("v2", {"statusCode": 200, "headers": []}),
    ("v2", {"statusCode": 200, "headers": {"A": {}}}), ("v2", {"statusCode": 200, "headers": {"A": "1\r\nB: 2"}}),
    ("v2", {"statusCode": 200, "headers": {"A B": "1"}}), ("v2", {"statusCode": 200, "cookies": "a"}),
    ("v2", {"statusCode": 200, "body": "a", "isBase64Encoded": True}),
    ("v1", {"statusCode": 200, "multiValueHeaders": {"A": "1"}}),
]  # fmt: skip


@pytest.mark.parametrize(("version", "result"), MALFORMED)
def test_results_that_are_no_answer(version: str, result: Any) -> None:
    with pytest.raises(MalformedError):
        answer(json.dumps(result).encode(), V1 if version == "v1" else V2)


@pytest.mark.parametrize("payload", [b"nonsense", b"[" * 100_000, b'{"statusCode": "%b"}' % (b"9" * 5000)])
def test_results_that_cannot_even_be_read(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        answer(payload, V2)


def test_an_answer_to_head_tells_the_length_it_would_have() -> None:
    found = answer(b'{"statusCode": 200, "headers": {"content-length": "17"}}', V2)
    assert (found.length, found.body) == (17, b"")


@pytest.mark.parametrize("text", ["\u00b2", "9" * 5000, "-1"])
def test_a_length_that_is_none_is_not_told(text: str) -> None:
    assert answer(json.dumps({"statusCode": 200, "headers": {"content-length": text}}).encode(), V2).length is None


def test_preludes() -> None:
    assert prelude(b'{"statusCode": 2', V2) is None
    assert prelude(b'{"statusCode": 202}' + b"\0" * 8 + b"rest", V2) == (202, f"{TEXT}\r\n".encode(), b"rest")
    for broken in (
        b"nonsense" + b"\0" * 8,
        b"[]" + b"\0" * 8,
        b"[" * 9999 + b"\0" * 8,
        b'{"statusCode": 1}' + b"\0" * 8,
        b"x" * 300_000,
    ):
        with pytest.raises(MalformedError):
            prelude(broken, V2)
