"""One question and its answer over HAProxy's command socket (HAProxy management guide, section 9.3).

Without `prompt` HAProxy answers one line of commands, separated by `;`, and closes. An empty line ends each answer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fourfold.errors import WorldError

LINE = 12_000
"""Bytes of commands in one line; HAProxy's buffer takes 16,384."""
_NO_SUCH_WORKER = b"Can't find the target PID"
"""What the master says of a worker that is gone. HAProxy 3.0 keeps the connection after it."""


class NotRunning(WorldError):
    """Nothing listens on the socket."""


async def ask(path: Path, line: str, timeout: float = 10.0) -> str:
    """Everything that is answered to `line`. Raises NotRunning, or WorldError after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            return await _exchange(path, line)
    except TimeoutError:
        raise WorldError(f"cannot talk to the gateway: no answer on {path.name} in {timeout:g} s") from None
    except (FileNotFoundError, ConnectionError) as error:
        raise NotRunning(f"cannot talk to the gateway: it is not running ({error.strerror})") from None
    except OSError as error:
        raise WorldError(f"cannot talk to the gateway: {error.strerror}") from None


async def _exchange(path: Path, line: str) -> str:
    # A Unix socket's address has at most 107 bytes; through the folder's descriptor any path is short enough.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    try:
        writer.write(line.encode() + b"\n")
        writer.write_eof()
        answer = bytearray()
        while not answer.startswith(_NO_SUCH_WORKER) and (piece := await reader.read(65536)):
            answer += piece
        return answer.decode("utf-8", "replace")
    finally:
        writer.close()


def lines(commands: Iterable[str], prefix: str = "") -> Iterator[str]:
    """Commands joined with `;` into as few lines as HAProxy's buffer allows, each after `prefix`."""
    line = prefix
    for command in commands:
        if len(line) + len(command) > LINE:
            yield line
            line = prefix
        line += f"; {command}" if line else command
    if line != prefix:
        yield line
