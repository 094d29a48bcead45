#!/usr/bin/env python3
"""A web service that behaves, or misbehaves, as its environment and its requests ask. Standard library, starts fast.

At start: EXIT_CODE (exit with it at once), STARTUP_DELAY (seconds), MEMORY_HOG (bytes to take), CRASH_AFTER (seconds,
then exit 3), WARM_UP (seconds for which it listens but answers everything with 503), WRONG_PORT, LOOPBACK_ONLY,
NEVER_READY (/healthz says 503), HEALTH_SECONDS (that /healthz takes), ERRORS (all but /healthz is answered with 500),
IGNORE_TERM, VERSION (sent as X-Version).
Requests: those of ACTS. On SIGTERM the requests in flight are answered, then it exits 0.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

env = os.environ
VERSION = env.get("VERSION", "unversioned")
draining = threading.Event()
warm = threading.Event()
idle: set[socket.socket] = set()  # connections that wait for their next request
Query = dict[str, str]
slowed: list[Query] = []  # all requests to be slow so far
hoard: list[bytearray] = []


def hog(size: int) -> None:
    """Take memory and touch every page of it."""
    for _ in range(0, size, 1 << 20):
        hoard.append(bytearray(1 << 20))
        hoard[-1][::4096] = b"x" * 256


def slow(query: Query) -> None:
    slowed.append(query)
    time.sleep(float(query.get("seconds", "1")))


def spin(query: Query) -> None:
    """Take all CPU there is, in so many `processes`."""
    end = time.monotonic() + float(query.get("seconds", "1"))
    for _ in range(int(query.get("processes", "1")) - 1):
        if os.fork() == 0:
            while time.monotonic() < end:
                pass
            os._exit(0)
    while time.monotonic() < end:
        pass


def burn(query: Query) -> None:
    """Take so many `seconds` of CPU, however long that lasts."""
    end = time.thread_time() + float(query["seconds"])
    while time.thread_time() < end:
        pass


def fork_bomb(query: Query) -> str:
    """Fork whenever it is possible for so many `seconds`, 200 times at most; each child sleeps."""
    made, end = 0, time.monotonic() + float(query.get("seconds", "0"))
    while made < 200:
        try:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            made += 1
        except OSError:
            if time.monotonic() > end:
                break
    return f"{made} forks\n"


def flood(query: Query) -> None:
    for number in range(int(query.get("lines", "100000"))):
        sys.stdout.write(f"line {number} {'x' * 80}\n")
    sys.stdout.flush()


ACTS: dict[str, Callable[[Query], str | None]] = {
    "/": lambda query: f"hello from {VERSION}\n",
    "/env": lambda query: json.dumps(dict(env)),
    "/pid": lambda query: str(os.getpid()),
    "/slow": slow,
    "/slowed": lambda query: str(len(slowed)),
    "/hog": lambda query: hog(int(query["bytes"])),
    "/spin": spin,
    "/burn": burn,
    "/fork-bomb": fork_bomb,
    "/flood": flood,
    "/crash": lambda query: os._exit(int(query.get("code", "3"))),
    "/unready": lambda query: env.setdefault("NEVER_READY", "from now on"),
}


def answer(path: str, query: Query, body: bytes) -> tuple[int, bytes]:
    if not warm.is_set():
        return 503, b"warming up\n"
    if path == "/healthz":
        time.sleep(float(env.get("HEALTH_SECONDS", "0")))
        return (503, b"not ready\n") if "NEVER_READY" in env else (200, b"ok\n")
    if "ERRORS" in env:
        return 500, b"broken\n"
    if path == "/echo":
        return 200, body
    act = ACTS.get(path)
    return (404, b"not found\n") if act is None else (200, (act(query) or "done\n").encode())


def respond(connection: socket.socket, head: str, body: bytes) -> bool:
    """Answer one request; False when the connection ends with it."""
    method, target, _ = head.split(" ", 2)
    url = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    if url.path == "/stream":  # ticks until `seconds` are over; ends with the connection
        connection.sendall(f"HTTP/1.1 200 OK\r\nX-Version: {VERSION}\r\nConnection: close\r\n\r\n".encode())
        for _ in range(int(float(query.get("seconds", "1")) * 20)):
            connection.sendall(b"tick\n")
            time.sleep(0.05)
        return False
    status, content = answer(url.path, query, body)
    keep = not draining.is_set() and "connection: close" not in head.lower() and "HTTP/1.1\r\n" in head
    fields = (
        f"X-Version: {VERSION}\r\nContent-Length: {len(content)}\r\nConnection: {'keep-alive' if keep else 'close'}"
    )
    payload = b"" if method == "HEAD" else content
    connection.sendall(f"HTTP/1.1 {status} -\r\n{fields}\r\n\r\n".encode() + payload)
    return keep


def serve(connection: socket.socket) -> None:
    """The requests of one connection, one after the other, until either side closes it."""
    with contextlib.suppress(OSError), connection, connection.makefile("rb") as reader:
        keep = True
        while keep:
            idle.add(connection)
            lines = [reader.readline()]
            idle.discard(connection)
            while lines[-1] not in (b"\r\n", b""):
                lines.append(reader.readline())
            if lines[-1] == b"":
                return
            head = b"".join(lines).decode("latin-1")
            sizes = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
            keep = respond(connection, head, reader.read(int(sizes[0]) if sizes else 0))


def accept(listener: socket.socket) -> None:
    """Serve connections until SIGTERM, then those that had already come."""
    listener.settimeout(0.05)
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if draining.is_set():
                return
        else:
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), name="serve").start()


def main() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "IGNORE_TERM" in env else lambda *_: draining.set())
    if "EXIT_CODE" in env:
        print("web: cannot start: told to exit", file=sys.stderr)
        return int(env["EXIT_CODE"])
    time.sleep(float(env.get("STARTUP_DELAY", "0")))
    hog(int(env.get("MEMORY_HOG", "0")))
    if "CRASH_AFTER" in env:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(3))
        signal.setitimer(signal.ITIMER_REAL, float(env["CRASH_AFTER"]))
    host = "127.0.0.1" if "LOOPBACK_ONLY" in env else env.get("HOST", "127.0.0.1")
    listener = socket.create_server((host, int(env.get("PORT", "8080")) + ("WRONG_PORT" in env)), backlog=1024)
    threading.Timer(float(env.get("WARM_UP", "0")), warm.set).start()
    print(f"web {VERSION}: listening on {listener.getsockname()}", flush=True)
    accept(listener)
    listener.close()
    while any(thread.name == "serve" for thread in threading.enumerate()):
        for connection in list(idle):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        time.sleep(0.01)
    print("web: every request is answered, leaving", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
