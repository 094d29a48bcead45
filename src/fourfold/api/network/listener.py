"""The API's listener on the network: TLS, a bounded number of connections, and nobody in without a token."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from fourfold.api.network.pair import Pair
from fourfold.api.network.patient import PatientHttp
from fourfold.api.network.patientws import MESSAGE, PatientWebSocket
from fourfold.api.network.refusals import Refusals, network
from fourfold.api.server import ENDING
from fourfold.errors import WorldError

log = logging.getLogger(__name__)

MOST = 256
"""Connections at once, or a quarter of the daemon's descriptors, if that is less."""
PACE = 100
"""New connections in a second, half of them of one client: each costs the daemon's only thread a TLS handshake."""
HANDSHAKE = 10.0
IDLE = 60
"""Seconds that a connection without a request is kept."""
LOOK_EVERY = 2.0
"""Seconds between two looks at the certificate's files."""
AGAIN = 1.0
"""Seconds after an address that could not be had."""


class NetworkServer(uvicorn.Server):
    """Serves what `accept` gives it; ends as the one on the socket does."""

    def __init__(self, app: ASGIApp, told: Callable[[str, str], None]) -> None:
        self._kind: type[PatientHttp] = type("_Http", (PatientHttp,), {"told": staticmethod(told)})
        super().__init__(
            uvicorn.Config(
                app,
                http=self._kind,
                ws=PatientWebSocket,
                log_config=None,
                log_level="critical",  # faults are logged with the id that was answered; the rest strangers send
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=ENDING,
                timeout_keep_alive=IDLE,
                server_header=False,
                ws_ping_interval=None,
                ws_max_size=MESSAGE,
                ws_per_message_deflate=False,  # bytes of one piece can be a thousand times as many
                proxy_headers=False,
            )
        )
        self._ended = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = []
        self.started = True

    async def main_loop(self) -> None:
        """Once a second is enough for its `Date`."""
        seconds = 0
        while not await self.on_tick(seconds * 10):
            seconds += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), 1)

    def end(self) -> None:
        self.should_exit = True
        self._ended.set()

    async def accept(self, connected: socket.socket, context: ssl.SSLContext | None) -> None:
        """Take over a connection. Raises OSError when it comes to nothing."""
        loop = asyncio.get_running_loop()
        timeouts = {"ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": 2.0} if context is not None else {}
        await loop.connect_accepted_socket(self._protocol, connected, ssl=context, **timeouts)

    def _protocol(self) -> PatientHttp:
        return self._kind(config=self.config, server_state=self.server_state, app_state={})


class Network:
    """`address`: (host, port). Without a `pair` it speaks plain HTTP, for loopback."""

    def __init__(self, app: ASGIApp, address: tuple[str, int], pair: Pair | None, refusals: Refusals) -> None:
        self._address = address
        self._pair = pair
        self._refusals = refusals
        self._server = NetworkServer(app, self._slow)
        self._most = min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self._open: dict[socket.socket, str] = {}
        self._recent: Counter[str] = Counter()
        """Connections of each client in this second."""
        self._second = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.problem: str | None = None
        """Why nobody can come in now."""
        self.port: int | None = None
        """Where it listens."""

    async def run(self) -> None:
        """Until cancelled; then answers in progress are finished."""
        serving = asyncio.create_task(self._server.serve())
        try:
            await asyncio.gather(self._look(), self._listen())
        finally:
            for task in self._tasks:
                task.cancel()
            self._server.end()
            await serving

    def _slow(self, client: str, what: str) -> None:
        self._refusals.add("slow", client, what)

    async def _look(self) -> None:
        while True:
            self._refusals.settle()
            if self._pair is not None:
                try:
                    if self._pair.look():
                        log.info("the API's certificate %s is in use", self._pair.certificate)
                    self.problem = None if self._pair.context is not None else self.problem
                except WorldError as error:
                    log.error("%s; %s", error, error.hint)
                    self.problem = str(error)
            await asyncio.sleep(LOOK_EVERY)

    async def _listen(self) -> None:
        """Another program may have the address, or the machine not have it yet: the daemon's other users go first."""
        host, port = self._address
        told = ""
        while True:
            try:
                listener = _bound(host, port)
                break
            except OSError as error:
                why = f"cannot listen on {host} port {port} with the API: {error.strerror or error}"
                if why != told:
                    log.error("%s; it is tried again until that works", why)
                told = self.problem = why
                await asyncio.sleep(AGAIN)
        with listener:
            self.port = listener.getsockname()[1]
            self.problem = None if self.problem == told else self.problem
            await self._accept_all(listener)

    async def _accept_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, peer = await loop.sock_accept(listener)
            except OSError as error:  # gone already, or no descriptor is left
                log.warning("cannot take a connection of the API: %s", error)
                await asyncio.sleep(0.1)
                continue
            client = str(peer[0])
            if (second := int(loop.time())) != self._second:
                self._second, self._recent = second, Counter()
            elif self._recent.total() >= PACE:
                await asyncio.sleep(max(0.0, second + 1 - loop.time()))
            if self._may_stay(client) and (self._pair is None or self._pair.context is not None):
                self._open[connected] = network(client)
                self._recent[network(client)] += 1
                task = asyncio.create_task(self._begin(connected, client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                connected.close()

    def _may_stay(self, client: str) -> bool:
        """Not when all connections are taken, or one client has half of them, or comes too often."""
        if len(self._open) >= self._most // 2:
            for each in [each for each in self._open if each.fileno() < 0]:
                del self._open[each]
        mine = Counter(self._open.values())[network(client)]
        if len(self._open) < self._most and mine < self._most // 2 and self._recent[network(client)] < PACE // 2:
            return True
        self._refusals.add("connections", client, "too many connections at once")
        return False

    async def _begin(self, connected: socket.socket, client: str) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # whoever has gone without a word
        try:
            await self._server.accept(connected, self._pair.context if self._pair is not None else None)
        except (OSError, asyncio.CancelledError) as error:
            connected.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            self._refusals.add("handshake", client, "no TLS handshake came to its end")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
