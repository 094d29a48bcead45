"""The API's socket: a Unix socket that only its owner opens, quiet, and ended without cutting an answer short."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from fourfold.api.streams import Streams
from fourfold.errors import ConflictError, UserError, WorldError

ENDING = 5
"""Seconds that answers in progress may take after the end was asked for."""


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
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        Streams.of(app).close()
        await serving
        raise
    finally:
        listener.close()
        _unlink_own(socket_path, inode)


class _Server(uvicorn.Server):
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
