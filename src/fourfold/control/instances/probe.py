"""One question to one instance: does it connect, answer, or does its command succeed? None, or what was wrong."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

from fourfold.spec.model import Probe

Ask = Callable[[], Awaitable[str | None]]

AGAIN_SECONDS = 0.05
"""When another connection is tried beside one that nobody answers, and then after twice that time each. What a virtual
machine that starts has not heard, the kernel says again only after a second (RFC 6298, section 2.1)."""
REST_SECONDS = 0.25
REST_BYTES = 1024 * 1024
"""How much of an answer is read after it is clear that there is one."""


async def tcp(host: str, port: int, timeout: float) -> str | None:
    try:
        async with asyncio.timeout(timeout), _connected(host, port):
            return None
    except TimeoutError:
        return f"no connection to {host}:{port} within {timeout:g} s"
    except OSError as error:
        return _refusal(error, host, port)


async def http(host: str, port: int, path: str, timeout: float, called: str = "localhost") -> str | None:
    """Well is 2xx or 3xx. HTTP/1.1 with `Connection: close`; the status line says it (RFC 9112, section 4).

    `called`: what the request calls it (`Host`). Programs refuse to be called by an address, or by what is not theirs.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout) as limit, _connected(host, port) as sock:
            await loop.sock_sendall(sock, _request(path, called))
            line = await _first_line(loop, sock)
            await _read_rest(loop, sock, limit)
            return _judge(line, path)
    except TimeoutError:
        return f"GET {path} on {host}:{port} gave no answer within {timeout:g} s"
    except OSError as error:
        return _refusal(error, host, port)


async def unix(path: str, target: str, timeout: float) -> str | None:
    """As `http`, of a program that listens on a Unix socket."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, path)
                await loop.sock_sendall(sock, _request(target, "localhost"))
                return _judge(await _first_line(loop, sock), target)
    except TimeoutError:
        return f"GET {target} on {path} gave no answer within {timeout:g} s"
    except OSError as error:
        gone = isinstance(error, ConnectionRefusedError | FileNotFoundError)
        return f"nothing listens on {path}" if gone else f"{path}: {error.strerror or error}"


async def speaks(host: str, port: int, timeout: float, http: bool, called: str = "localhost") -> str | None:
    """For a service that does not say how to ask it: whether a program is behind the port, not only a listening socket.

    A server that listens before its workers have started accepts connections and answers none. So it is sent a request,
    and any bytes count as an answer. What speaks something else than HTTP may close the connection or be silent: that
    counts too, unless it must speak `http` because it has a route.
    """
    loop = asyncio.get_running_loop()
    connected = False
    try:
        async with asyncio.timeout(timeout) as limit, _connected(host, port) as sock:
            connected = True
            await loop.sock_sendall(sock, _request("/", called))
            if await loop.sock_recv(sock, 4096):
                await _read_rest(loop, sock, limit)
            elif http:
                return f"{host}:{port} closes connections without an answer"
            return None
    except TimeoutError:
        if connected and not http:
            return None
        return f"{host}:{port} accepts connections and does not answer within {timeout:g} s"
    except OSError as error:
        return _refusal(error, host, port)


def _request(path: str, called: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", f"Host: {called}", "User-Agent: fourfold", "Connection: close", "", "")
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def _connected(host: str, port: int) -> AsyncIterator[socket.socket]:
    with ExitStack() as opened:
        sock = opened.enter_context(_tcp_socket())
        failed = sock.connect_ex((host, port))
        if failed == errno.EINPROGRESS:  # on loopback the answer is there by now
            failed = sock.connect_ex((host, port))
        if failed == errno.EALREADY:
            sock = await _first_connected(sock, (host, port), opened)
        elif failed:
            raise OSError(failed, os.strerror(failed))
        yield sock


async def _first_connected(sock: socket.socket, address: tuple[str, int], opened: ExitStack) -> socket.socket:
    """`sock`, which is connecting, or one of others that are tried beside it: see AGAIN_SECONDS."""
    loop = asyncio.get_running_loop()
    attempts = {loop.create_task(loop.sock_connect(sock, address)): sock}
    wait = AGAIN_SECONDS
    try:
        while True:
            done, _ = await asyncio.wait(attempts, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempt.result()
                return attempts[attempt]
            wait *= 2
            sock = opened.enter_context(_tcp_socket())
            attempts[loop.create_task(loop.sock_connect(sock, address))] = sock
    finally:
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)


def _tcp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


async def _first_line(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> str:
    received = b""
    while b"\n" not in received and len(received) < 4096:
        chunk = await loop.sock_recv(sock, 4096)
        if not chunk:
            break
        received += chunk
    return received.split(b"\n", 1)[0].decode("latin-1").strip()


async def _read_rest(loop: asyncio.AbstractEventLoop, sock: socket.socket, limit: asyncio.Timeout) -> None:
    """Closing a connection with something unread resets it, and the program would tell of that in its log.

    That there is an answer is known: `limit`, on the time until then, ends.
    """
    limit.reschedule(None)
    left = REST_BYTES
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(REST_SECONDS):
            while left > 0 and (chunk := await loop.sock_recv(sock, 65536)):
                left -= len(chunk)


def _judge(line: str, path: str) -> str | None:
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not (len(parts[1]) == 3 and parts[1].isdecimal()):
        return f"GET {path} got no HTTP answer: {line[:80]!r}" if line else f"GET {path}: connection closed unanswered"
    if 200 <= int(parts[1]) < 400:
        return None
    return f"GET {path} answered {' '.join(parts[1:])}"


def _refusal(error: OSError, host: str, port: int) -> str:
    if isinstance(error, ConnectionRefusedError):
        return refused(host, port)
    return f"{host}:{port}: {error.strerror or error}"


def refused(host: str, port: int) -> str:
    return f"nothing listens on {host}:{port}"


def asker(
    probe: Probe | None,
    host: str,
    port: int | None,
    command: Callable[[tuple[str, ...], float], Awaitable[str | None]],
    called: str,
) -> Ask | None:
    """The question for a probe as the file has it; without one, a connect if there is a port. None: nothing to ask."""
    timeout = probe.timeout if probe is not None else 1.0
    if probe is not None and probe.command is not None:
        argv = ("/bin/sh", "-c", probe.command) if isinstance(probe.command, str) else tuple(probe.command)
        return lambda: command(argv, timeout)
    if port is None:
        return None
    if probe is not None and probe.path is not None:
        path = probe.path
        return lambda: http(host, port, path, timeout, called)
    return lambda: tcp(host, port, timeout)
