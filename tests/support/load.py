"""A load generator that counts: every request that fails, how and when. Loopback only.

    with Load("http://127.0.0.1:8080/") as load:
        deploy()
    assert not load.report().failures

or, by hand, `python -m tests.support.load http://127.0.0.1:8080/ --seconds 10`.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import re
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.http import Answer, BrokenAnswerError, exchange
from tests.support.report import Failure, Report


class Load:
    """Requests to `url` from a thread of its own, from entering to leaving the `with`.

    `connections` ask at the same time, each its next request as soon as the last is answered, or at `rps` altogether.
    `keep_alive` is the share of requests that keep their connection for the next. An answer is good when its status is
    below 400. `version` is a regular expression; its first group, found in head or body, is counted. Whatever happens
    it ends after `max_seconds` or `max_requests`.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 4,
        rps: float | None = None,
        keep_alive: float = 0.5,
        version: str | None = None,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 30.0,
        max_seconds: float = 300.0,
        max_requests: int = 1_000_000,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
            raise ValueError(f"cannot load {url}: only http on loopback (127.0.0.1, ::1, localhost)")
        host = parts.hostname or ""
        # `shop.localhost` is a name for the gateway, not one that every resolver knows.
        self._address = ("127.0.0.1" if host.endswith("localhost") else host, parts.port or 80)
        self._requests = tuple(_request(parts.path, parts.query, parts.netloc, method, headers or {}, body, keep)
                               for keep in (False, True))  # fmt: skip
        self._connections = connections
        self._rps = rps
        self._keep_alive = keep_alive
        self._version = re.compile(version.encode()) if version else None
        self._timeout = timeout
        self._max_seconds = max_seconds
        self._max_requests = max_requests
        self._sent = 0
        self._began = 0.0
        self._report = Report()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> Report:
        """Send no more, wait for the answers that are still due, and report."""
        self._stop.set()
        self._thread.join(self._timeout + 5)
        return self._report

    def wait(self) -> Report:
        """Until `max_seconds` or `max_requests`."""
        self._thread.join(self._max_seconds + self._timeout + 5)
        return self.stop()

    def report(self) -> Report:
        """As of now; complete once the `with` has been left."""
        return self._report

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._connections):
                    group.create_task(self._worker(number))
        except ExceptionGroup as errors:  # a mistake in here must not look like a quiet run
            self._report.add_failure(Failure(self._now(), "generator", repr(errors.exceptions[0])))
        finally:
            self._report.seconds = self._now()
            self._report.note_gap(self._now())

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def _next(self) -> bool:
        """Wait for our turn; False when it is over."""
        turn = self._sent
        self._sent += 1
        if self._rps is not None:
            due = turn / self._rps
            while not self._stop.is_set() and self._now() < min(due, self._max_seconds):  # noqa: ASYNC110 - pacing
                await asyncio.sleep(min(due - self._now(), 0.05))
        return not self._stop.is_set() and turn < self._max_requests and self._now() < self._max_seconds

    async def _worker(self, number: int) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        credit = number / max(self._connections, 1)  # spreads the closings over the workers
        while await self._next():
            credit += self._keep_alive
            keep, credit = credit >= 1, credit % 1
            reused, began = connection is not None, self._now()
            try:
                async with asyncio.timeout(self._timeout):
                    if connection is None:
                        connection = await asyncio.open_connection(*self._address)
                    answer = await exchange(*connection, self._requests[keep])
                self._count(answer, began)
                open_still = keep and answer.keep
            except (OSError, BrokenAnswerError) as error:
                kind, open_still = _kind(error, reused), False
                self._report.add_failure(Failure(began, kind, str(error) or kind))
                await asyncio.sleep(0.005)  # a port that refuses must not turn this into a busy loop
            if connection is not None and not open_still:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    def _count(self, answer: Answer, began: float) -> None:
        if answer.status >= 400:
            detail = answer.body[:200].decode(errors="replace").strip()
            self._report.add_failure(Failure(began, f"status {answer.status}", detail))
            return
        version = None
        if self._version is not None:
            found = self._version.search(answer.head) or self._version.search(answer.body)
            version = found.group(1).decode(errors="replace") if found else "(none)"
        self._report.add_success(began, self._now(), version)


def _kind(error: Exception, reused: bool) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    kind = error.kind if isinstance(error, BrokenAnswerError) else "reset"
    return "closed-idle" if reused and kind in ("closed", "reset") else kind


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _request(path: str, query: str, host: str, method: str, headers: dict[str, str], body: bytes, keep: bool) -> bytes:
    target = (path or "/") + (f"?{query}" if query else "")
    fields = {"Host": host, "Connection": "keep-alive" if keep else "close", **headers}
    if body or method in ("POST", "PUT", "PATCH"):
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.load", description="Ask a URL over and over; count.")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rps", type=float, help="altogether; default: as fast as answers come")
    parser.add_argument("--keep-alive", type=float, default=0.5, help="share of requests that keep their connection")
    parser.add_argument("--version", help="regular expression; its first group is counted")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        load = Load(
            args.url,
            connections=args.connections,
            rps=args.rps,
            keep_alive=args.keep_alive,
            version=args.version,
            max_seconds=args.seconds,
            max_requests=args.requests,
        )
    except ValueError as error:
        parser.error(str(error))
    with load:
        report = load.wait()
    print(json.dumps(report.summary()) if args.json else report)
    return 1 if report.failed or not report.ok else 0


if __name__ == "__main__":
    raise SystemExit(main())
