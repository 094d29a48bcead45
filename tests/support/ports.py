"""Ports for programs that tests start, which listen there only a while later."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the processes side by side that run tests this one is."""
LOW, WORKERS, EACH = 31000, 4, 440
"""Below those that the system gives to whoever does not ask for one (ip_local_port_range), and above those of homes."""
NUMBERS = itertools.count(os.getpid())


def free_port() -> int:
    """Nobody else gets it meanwhile: no outgoing connection, no other worker, and here all come first."""
    for number in itertools.islice(NUMBERS, EACH):
        port = LOW + number % EACH * WORKERS + WORKER % WORKERS
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("0.0.0.0", port))
            return port
    raise AssertionError("none of this worker's ports is free")
