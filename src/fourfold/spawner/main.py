"""The spawner's command line; see `__main__`."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
from typing import Any

from fourfold.spawner.probe import probe, run
from fourfold.spawner.request import Spawn
from fourfold.spawner.server import Server

LOCKED = 3
_READY, _TAKEN = b"r", b"l"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--try", action="store_true", dest="trial")
    parser.add_argument("--socket")
    parser.add_argument("--journal")
    parser.add_argument("--lock")
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--state", type=int)
    options = parser.parse_args()
    if options.probe:
        print(json.dumps(probe()))
        return
    if options.trial:
        print(json.dumps(run(Spawn.from_json(json.load(sys.stdin)))))
        return
    ready = _detach() if options.detach else os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        server = Server(options.socket, options.journal, options.lock, _inherited(options.state))
    except BlockingIOError:
        os.write(ready, _TAKEN)
        sys.exit(LOCKED)
    os.write(ready, _READY)
    os.close(ready)
    gc.collect()
    gc.freeze()  # so that the collector does not touch, and thereby copy, every page in each child
    server.run()


def _inherited(memory: int | None) -> dict[str, Any] | None:
    if memory is None:
        return None
    os.lseek(memory, 0, os.SEEK_SET)
    with open(memory, "rb") as file:
        state: dict[str, Any] = json.load(file)
    return state


def _detach() -> int:
    """Fork twice; the first process waits for the last one's byte. -> where to write it."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(writer)
        os._exit({_READY: 0, _TAKEN: LOCKED}.get(os.read(reader, 1), 1))
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(reader)
    os.chdir("/")
    return writer
