"""Serves a folder over HTTP/1.1. Put into artifacts of static services and run there by the host's own Python.

Standard library only, one thread: files are small and in the page cache, so an event loop serves hundreds of
kept-alive connections. The folder never changes while it is served (artifacts are read-only), so what is known about a
file is remembered. Usage: `static.py FOLDER [--fallback index.html]`; listens on $HOST:$PORT; SIGTERM lets requests in
flight end.
"""

import argparse
import asyncio
import hashlib
import html
import mimetypes
import os
import signal
import sys
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, unquote

IDLE_SECONDS = 75
"""A connection without a request is closed after this; longer than the gateway's own, so that it closes first."""
IN_MEMORY = 256 * 1024
CACHE_BYTES = 32 * 1024 * 1024
MAX_HEAD = 32 * 1024
REASONS = {
    200: "OK", 301: "Moved Permanently", 304: "Not Modified", 400: "Bad Request", 404: "Not Found",
    405: "Method Not Allowed", 431: "Request Header Fields Too Large", 501: "Not Implemented",
}  # fmt: skip
TYPES = {
    ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".woff2": "font/woff2",
    ".webp": "image/webp", ".avif": "image/avif", ".webmanifest": "application/manifest+json",
    ".map": "application/json", ".md": "text/markdown", ".svg": "image/svg+xml", ".json": "application/json",
}  # fmt: skip


class File(NamedTuple):
    path: Path
    size: int
    kind: str
    etag: str
    content: bytes | None


class Site:
    """Which file answers which path."""

    def __init__(self, root: Path, fallback: str | None) -> None:
        self.root = root.resolve(strict=True)
        self.fallback = fallback
        self._known: dict[Path, File] = {}
        self._room = CACHE_BYTES

    def find(self, path: str) -> File | str | None:
        """The file for a decoded request path, a location to redirect to, or None."""
        parts = [part for part in path.split("/") if part]
        if any(part.startswith(".") and part != ".well-known" for part in parts) or "\0" in path:
            return None
        place = self._inside(self.root.joinpath(*parts))
        if place is not None and place.is_dir():
            index = self._inside(place / "index.html")
            if index is None or not index.is_file():
                return None
            return self._file(index) if path.endswith("/") else quote(path) + "/"
        if place is None or not place.is_file() or path.endswith("/"):
            return None
        return self._file(place)

    def otherwise(self) -> tuple[int, File | None]:
        """What to answer when nothing was found: the fallback (200), 404.html (404) or nothing."""
        if self.fallback and isinstance(found := self.find("/" + self.fallback), File):
            return 200, found
        found = self.find("/404.html")
        return 404, found if isinstance(found, File) else None

    def _inside(self, path: Path) -> Path | None:
        """The real path, if it exists and no link leads it out of the root."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        return real if real == self.root or self.root in real.parents else None

    def _file(self, path: Path) -> File | None:
        known = self._known.get(path)
        if known is None:
            try:
                known = self._read(path)
            except OSError:
                return None
            self._known[path] = known
        return known

    def _read(self, path: Path) -> File:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        content = None
        if size <= min(IN_MEMORY, self._room):
            content = path.read_bytes()
            self._room -= size
        return File(path, size, _type(path), f'"{digest[:32]}"', content)


def _type(path: Path) -> str:
    kind = TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    texts = ("application/json", "application/manifest+json", "image/svg+xml", "application/xml")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind in texts else kind


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other; pipelined ones wait in the buffer."""

    def __init__(self, site: Site, open_: "set[Connection]", all_closed: asyncio.Event) -> None:
        self.site = site
        self.all_closed = all_closed
        self.open = open_
        self.buffer = b""
        self.body_left = 0
        self.sending: asyncio.Task[None] | None = None
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open.add(self)
        self.all_closed.clear()
        self.loop = asyncio.get_running_loop()
        self.heard = self.loop.time()
        self.timer = self.loop.call_later(IDLE_SECONDS, self._idle)
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.open.discard(self)
        if not self.open:
            self.all_closed.set()
        self.timer.cancel()
        if self.sending is not None:
            self.sending.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.heard = self.loop.time()
        self.writable.set()
        self._requests()

    def _idle(self) -> None:
        left = self.heard + IDLE_SECONDS - self.loop.time()
        if left > 0 or self.sending is not None:
            self.timer = self.loop.call_later(max(left, 1), self._idle)
        else:
            self.transport.close()

    def stop(self) -> None:
        """No further request; the answer being sent ends."""
        self.closing = True
        if self.sending is None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.heard = self.loop.time()
        self.buffer += data
        self._requests()
        if len(self.buffer) > MAX_HEAD:  # more than one request: its client is to take the answers first
            self.transport.pause_reading()

    def _requests(self) -> None:
        while self.sending is None and self.writable.is_set() and not self.transport.is_closing():
            if self.body_left:  # GET with a body is odd but legal: skipped
                taken = min(self.body_left, len(self.buffer))
                self.buffer, self.body_left = self.buffer[taken:], self.body_left - taken
                if self.body_left:
                    return self.transport.resume_reading()
            head, found, rest = self.buffer.lstrip(b"\r\n").partition(b"\r\n\r\n")
            if not found:
                if len(self.buffer) > MAX_HEAD:
                    return self._answer(431, {}, b"", "GET", close=True)
                return self.transport.resume_reading()
            self.buffer = rest
            self._request(head.decode("latin-1"))

    def _request(self, head: str) -> None:
        line, *lines = head.split("\r\n")
        words = line.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        if len(words) != 3 or not words[2].startswith("HTTP/1.") or any(":" not in each for each in lines):
            return self._answer(400, {}, b"", "GET", close=True)
        method, target, version = words
        wants = headers.get("connection", "").lower()
        close = self.closing or "close" in wants or (version == "HTTP/1.0" and "keep-alive" not in wants)
        if "transfer-encoding" in headers:
            return self._answer(501, {}, b"", method, close=True)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return self._answer(400, {}, b"", method, close=True)
        self.body_left = int(length)
        if method not in ("GET", "HEAD"):
            return self._answer(405, {"Allow": "GET, HEAD"}, b"", method, close)
        return self._get(method, target, headers, close)

    def _get(self, method: str, target: str, headers: dict[str, str], close: bool) -> None:
        path, _, query = target.partition("?")
        if not path.startswith("/"):
            path = "/" + path.partition("://")[2].partition("/")[2]  # absolute form, as proxies may send it
        try:
            decoded = unquote(path, errors="strict")
        except UnicodeDecodeError:
            return self._answer(400, {}, b"", method, close)
        found = self.site.find(decoded)
        if isinstance(found, str):
            # One slash only: `//host/` would send the browser to another host.
            location = "/" + found.lstrip("/") + (f"?{query}" if query else "")
            return self._answer(301, {"Location": location}, b"", method, close)
        status = 200
        if found is None:
            status, found = self.site.otherwise()
        if found is None:
            return self._answer(404, {}, _page(404, decoded), method, close)
        cache = "no-cache" if found.kind.startswith("text/html") or status != 200 else "max-age=300"
        common = {"ETag": found.etag, "Cache-Control": cache}
        if status == 200 and _matches(headers.get("if-none-match", ""), found.etag):
            return self._answer(304, common, None, method, close)
        kind = {**common, "Content-Type": found.kind}
        if found.content is not None:
            return self._answer(status, kind, found.content, method, close)
        try:
            file = found.path.open("rb")
        except OSError:
            return self._answer(404, {}, _page(404, decoded), method, close)
        self._head(status, {**kind, "Content-Length": str(found.size)}, close)
        self.sending = self.loop.create_task(self._send(file, found.size if method == "GET" else 0, close))
        return None

    async def _send(self, file: BinaryIO, size: int, close: bool) -> None:
        try:
            with file:
                while size > 0 and (chunk := file.read(min(size, 256 * 1024))):
                    await self.writable.wait()
                    self.transport.write(chunk)
                    size -= len(chunk)
                    self.heard = self.loop.time()
        finally:
            self.sending = None
        if close or self.closing or size:
            self.transport.close()
        else:
            self._requests()

    def _answer(self, status: int, headers: dict[str, str], body: bytes | None, method: str, close: bool) -> None:
        """`body` None: there is none, not even of length 0 (304)."""
        if body is not None:
            kind = {} if "Content-Type" in headers else {"Content-Type": "text/html; charset=utf-8"}
            headers = {**kind, **headers, "Content-Length": str(len(body))}
        self._head(status, headers, close, body if body and method != "HEAD" else b"")
        if close:
            self.transport.close()

    def _head(self, status: int, headers: dict[str, str], close: bool, body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["X-Content-Type-Options: nosniff", f"Connection: {'close' if close else 'keep-alive'}", "", ""]
        self.transport.write("\r\n".join(lines).encode("latin-1") + body)


def _matches(wanted: str, etag: str) -> bool:
    """If-None-Match (RFC 9110, section 13.1.2): weak comparison, `*` matches anything."""
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in wanted.split(","))


def _page(status: int, path: str) -> bytes:
    return f"<!doctype html><title>{status}</title><h1>{REASONS[status]}</h1><p>{html.escape(path)}\n".encode(
        errors="replace"
    )


async def serve(site: Site, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    open_: set[Connection] = set()
    all_closed = asyncio.Event()
    all_closed.set()
    server = await loop.create_server(lambda: Connection(site, open_, all_closed), host, port, backlog=1024)
    print(f"serving {site.root} on {host}:{port}", flush=True)
    await stop.wait()
    server.close()
    for connection in list(open_):
        connection.stop()
    await all_closed.wait()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fallback")
    options = parser.parse_args()
    if "PORT" not in os.environ:
        print("cannot serve: this service has no `port` in the service file", file=sys.stderr)
        return 2
    try:
        site = Site(options.folder, options.fallback)
    except OSError as error:
        print(f"cannot serve {options.folder}: {error.strerror}", file=sys.stderr)
        return 1
    asyncio.run(serve(site, os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
