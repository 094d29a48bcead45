"""What a guest without a bridge sends to another service gets there, and the answer back."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from fourfold.supervise import relay

COMMAND = [sys.executable, "-I", "-S", str(Path(relay.__file__))]


def test_both_ways_and_to_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                parts = []
                while part := connection.recv(65536):
                    parts.append(part)
                connection.sendall(b"".join(parts)[::-1])

        answering = threading.Thread(target=echo)
        answering.start()
        sent = bytes(range(256)) * 4000
        port = str(server.getsockname()[1])
        done = subprocess.run([*COMMAND, port], input=sent, capture_output=True, timeout=30)
        answering.join()
    assert done.returncode == 0 and done.stdout == sent[::-1]


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    done = subprocess.run([*COMMAND, port], input=b"", capture_output=True, timeout=30)
    assert done.returncode == 1 and b"refused" in done.stderr and b"Traceback" not in done.stderr
