"""Passes on one connection of a guest without a bridge to a port of this host's loopback: `python relay.py PORT`.

QEMU starts one for each connection (`guestfwd=…-cmd:`), with what the guest sends on standard input. It must be there
soon, so it imports nothing of ours.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

_CHUNK = 65536


def main() -> int:
    try:
        there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    except OSError as error:
        print(f"relay: 127.0.0.1:{sys.argv[1]}: {error}", file=sys.stderr)
        return 1
    with there, selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        ready.register(there, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is there:
                    if not (data := there.recv(_CHUNK)):
                        return 0
                    while data:
                        data = data[os.write(1, data) :]
                elif data := os.read(0, _CHUNK):
                    there.sendall(data)
                else:
                    there.shutdown(socket.SHUT_WR)
                    ready.unregister(0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenPipeError, ConnectionError):  # one of them has gone
        sys.exit(0)
