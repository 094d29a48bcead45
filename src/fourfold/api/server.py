"""The API's socket: a Unix socket that only its owner opens, quiet, and ended without cutting an answer short."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from fourfold.api.streams import Streams
from fourfold.errors import ConflictError, FourfoldError, UserError, WorldError

log = logging.getLogger(__name__)

ENDING = 5
"""Seconds that answers in progress may take after the end was asked for."""
LOOK_EVERY = 2.0
"""Seconds between two looks at whether the socket is there: whoever clears caches may take it away."""


async def serve(app: FastAPI, socket_path: Path, listening: Callable[[], None] = lambda: None) -> None:
    """Answer on `socket_path` until cancelled; then streams are closed and answers in progress are finished.

    `listening` is called when connections are taken.
    Raises ConflictError when another daemon answers there, UserError or WorldError when it cannot be made.
    """
    listener, inode = listen(socket_path)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",  # faults are logged with the id that was answered; the rest strangers send
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=ENDING,
        server_header=False,
        ws_ping_interval=None,  # a client whose output is not read (`exec … | less`) does not answer, and is well
    )
    server = _Server(config)
    listening()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    keeping = asyncio.create_task(server.keep_listening(socket_path))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        Streams.of(app).close()
        await serving
        raise
    finally:
        keeping.cancel()
        listener.close()
        _unlink_own(socket_path, server.inode or inode)


class _Server(uvicorn.Server):
    inode: int | None = None
    """Of a socket that took the place of the first one."""

    async def keep_listening(self, path: Path) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if _is_gone(path):  # but not its folder, or that is there again
                try:
                    listener, self.inode = listen(path)
                    self.servers.append(await asyncio.get_running_loop().create_server(self._protocol, sock=listener))
                    log.warning("%s was removed by another program: made again", path)
                except FourfoldError as error:
                    log.error("%s", error)

    def _protocol(self) -> asyncio.Protocol:
        kind: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's own business."""
        yield


def listen(path: Path) -> tuple[socket.socket, int]:
    """A listening Unix socket and its inode. Its mode is 0600 from its first moment; a stale one is replaced."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(128)
        inode = path.lstat().st_ino
    except OSError as error:
        raise WorldError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener, inode


def _is_gone(path: Path) -> bool:
    return path.parent.exists() and not path.exists()


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UserError(f"cannot listen on {path}: there is something that is not a socket", f"move {path} away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ConflictError(f"cannot listen on {path}: another daemon answers there", "end it with: fourfold daemon stop")


def _unlink_own(path: Path, inode: int) -> None:
    """Not the socket of a daemon that has taken our place meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_ino == inode:
            path.unlink()
