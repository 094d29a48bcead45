"""What a service was asked, from the access log (`gateway.render.LOG`), and what it sees of a request. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from fourfold.errors import UserError
from fourfold.gateway.spread import service_of
from fourfold.load.file import checked
from fourfold.load.model import Request
from fourfold.spec.gateway import Route

SAFE = ("GET", "HEAD")
"""What may be asked again: it changes nothing (RFC 9110, section 9.2.1)."""
MOST = 1000
"""Different requests: the most frequent ones."""


@dataclass(frozen=True)
class Recorded:
    """From a log. Queries are not in it."""

    requests: tuple[Request, ...]
    """Safe ones that were answered well, as the service saw them; the most frequent first."""
    total: int
    """All that the service was asked."""


class Recording:
    """Line by line, so that a long log is never in memory as a whole."""

    def __init__(self, key: str, routes: Sequence[Route]) -> None:
        """`key`: `app.service`."""
        self._key, self._routes = key, routes
        self._start = f'"backend":"{key}'
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._total = 0

    def add(self, line: str) -> None:
        if self._start not in line:
            return
        with suppress(ValueError, TypeError, LookupError, AttributeError):
            told: dict[str, Any] = json.loads(line)
            if service_of(told["backend"]) != self._key:
                return
            method, status, path, host = told["method"], told["status"], told["path"], told["host"]
            self._total += 1
            if method in SAFE and 200 <= status < 400:
                outside = bool(self._routes) and told["backend"].split(".")[2:] != ["internal"]
                self._seen[method, path, host if outside else ""] += 1

    def recorded(self) -> Recorded:
        """Takes some tenths of a second where nearly each request was another one."""
        often = self._seen.most_common(2 * MOST)  # not all of them can be asked again
        return Recorded(tuple(islice(_replayed(often, self._routes), MOST)), self._total)


def _replayed(seen: Iterable[tuple[tuple[str, str, str], int]], routes: Sequence[Route]) -> Iterable[Request]:
    for (method, path, host), count in seen:
        request = Request(method, path, weight=float(count))
        if host:
            request = inside(replace(request, headers=(("Host", host),)), routes)
        with suppress(UserError):  # nothing that a client may send: it was answered all the same
            yield checked(request, "the access log")


def inside(request: Request, routes: Sequence[Route]) -> Request:
    """As the service sees what a client asks the gateway: without the path that its route strips, with its host."""
    path, question, query = request.path.partition("?")
    headers = request.headers
    host = next((value.partition(":")[0].lower() for name, value in headers if name.lower() == "host"), None)
    matching = [route for route in routes if _takes(route, request.method, host, path)]
    if not matching:
        return request
    route = max(matching, key=lambda each: (len(each.path.rstrip("/")), each.host is not None, bool(each.methods)))
    if route.host is not None and "*" not in route.host and host is None:
        headers = (("Host", route.host), *headers)
    if route.strip:
        path = re.sub(f"^{re.escape(route.path.rstrip('/'))}/*", "/", path)
    return replace(request, path=path + question + query, headers=headers)


def _takes(route: Route, method: str, host: str | None, path: str) -> bool:
    """`host` None: whichever the route asks for."""
    if host is not None and route.host is not None and not fnmatchcase(host, route.host.lower()):
        return False
    prefix = route.path.rstrip("/")
    return (path + "/").startswith(prefix + "/") and (not route.methods or method in route.methods)
