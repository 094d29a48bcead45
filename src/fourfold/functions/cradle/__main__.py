"""`python -I -m fourfold.functions.cradle`: its socket to the invoker is its standard input."""

from __future__ import annotations

import os
import resource
import socket
import sys

from fourfold.functions.cradle import protocol
from fourfold.functions.cradle.server import Cradle
from fourfold.functions.model import Config
from fourfold.spawner.loop import Loop, child_exits
from fourfold.spawner.request import Failed


def main() -> int:
    os.closerange(3, 1 << 20)  # event loops do not see to that
    invoker = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)  # children have that too, and its end must be seen
    received = protocol.receive(invoker)
    if received is None:
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a few for each sandbox
    loop = Loop()
    exits = child_exits()
    try:
        cradle = Cradle(invoker, loop, Config.from_json(received[0]["config"]), received[0]["env"])
    except (Failed, OSError) as error:
        why = f"{error.stage}: {error.detail}: {os.strerror(error.errno)}" if isinstance(error, Failed) else str(error)
        protocol.send(invoker, {"say": "failed", "error": why})
        return 1
    alive = [True]

    def hear() -> None:
        alive[0] = cradle.hear()

    def reap() -> None:
        os.read(exits, 4096)
        cradle.reap()

    loop.watch(invoker.fileno(), hear)
    loop.watch(exits, reap)
    try:
        while alive[0] and not cradle.over:
            loop.once()
    finally:
        cradle.end()
    return int(cradle.over)


if __name__ == "__main__":
    sys.exit(main())
