"""From the gateway's access log to requests that can be asked again."""

from __future__ import annotations

import json

import pytest

from fourfold.control.comparing.recorded import MOST, Recorded, Recording, inside
from fourfold.load.model import Request
from fourfold.spec.gateway import Route

STRIPPED = Route(path="/catalog", strip=True)


def line(
    path: str = "/catalog/items", method: str = "GET", status: int = 200, backend: str = "shop.catalog", host: str = "h"
) -> str:
    told = {"host": host, "method": method, "path": path, "backend": backend, "server": "s", "status": status}
    return json.dumps(told, separators=(",", ":"))


def recorded(lines: list[str], routes: list[Route]) -> Recorded:
    log = Recording("shop.catalog", routes)
    for each in lines:
        log.add(each)
    return log.recorded()


def test_only_safe_requests_that_went_well_are_asked_again_as_often_as_they_came() -> None:
    log = [
        *[line()] * 3,
        line("/catalog", "HEAD", 304),
        line("/catalog/orders", "POST"),
        line("/catalog/none", status=404),
        line("/catalog/broken", status=502),
        line(backend="shop.catalogue"),
        line(backend="no-route", status=404),
        line("/items", backend="shop.catalog.internal", host="127.0.0.1:29001"),
        line("/catalog/second", backend="shop.catalog.2"),
        "[WARNING]  (123) : something else",
        '{"backend":"shop.catalog"',
        '{"backend":"shop.catalog"}',
    ]
    seen = recorded(log, [STRIPPED])
    host = (("Host", "h"),)
    assert set(seen.requests) == {
        Request("GET", "/items", host, weight=3),
        Request("HEAD", "/", host, weight=1),
        Request("GET", "/items", (), weight=1),
        Request("GET", "/second", host, weight=1),
    }
    assert seen.requests[0].weight == 3
    assert seen.total == 9


def test_what_cannot_be_asked_again_is_left_out() -> None:
    seen = recorded([line("/a b"), line("/é"), line("*", "OPTIONS")], [Route(path="/")])
    assert (seen.requests, seen.total) == ((), 3)


def test_only_the_most_frequent_are_kept_of_many() -> None:
    seen = recorded([*(line(f"/{number}") for number in range(3 * MOST)), line("/often"), line("/often")], [])
    assert (len(seen.requests), str(seen.requests[0]), seen.total) == (MOST, "GET /often", 3 * MOST + 2)


@pytest.mark.parametrize(
    ("routes", "asked", "path", "host"),
    [
        ([], "/x", "/x", None),
        ([Route(path="/")], "/x?a=/b", "/x?a=/b", None),
        ([STRIPPED], "/catalog", "/", None),
        ([STRIPPED], "/catalog/", "/", None),
        ([STRIPPED], "/catalog//x?q=/catalog", "/x?q=/catalog", None),
        ([STRIPPED], "/catalogue", "/catalogue", None),
        ([Route(path="/a"), Route(path="/a/b", strip=True)], "/a/b/c", "/c", None),
        ([Route(path="/a", strip=True), Route(path="/a/b")], "/a/b/c", "/a/b/c", None),
        ([Route(path="/a", strip=True, method="POST")], "/a/x", "/a/x", None),
        ([Route(path="/a", strip=True, method=["GET", "POST"])], "/a/x", "/x", None),
        ([Route(path="/", host="shop.example.com")], "/x", "/x", "shop.example.com"),
        ([Route(path="/", host="*.example.com")], "/x", "/x", None),
    ],
)
def test_as_the_service_sees_it(routes: list[Route], asked: str, path: str, host: str | None) -> None:
    seen = inside(Request("GET", asked), routes)
    assert (seen.path, dict(seen.headers).get("Host")) == (path, host)


def test_a_route_takes_what_was_asked_of_its_host_only() -> None:
    routes = [Route(path="/v1", host="api.example.com", strip=True), Route(path="/", host="*.example.org"), Route()]
    asked = [("api.example.com:8080", "/x"), ("WWW.example.org", "/v1/x"), ("other", "/v1/x")]
    for host, path in asked:
        assert inside(Request("GET", "/v1/x", (("Host", host),)), routes).path == path
