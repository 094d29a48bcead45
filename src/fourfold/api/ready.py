"""Tells systemd that the daemon answers, so that `systemctl start` returns when it does. Source: sd_notify(3)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, MutableMapping

_ASKS = "NOTIFY_SOCKET"


def notifier(environ: MutableMapping[str, str]) -> Callable[[], None]:
    """What to call once we answer. It does nothing where nobody asks; nobody whom we start is to be asked again."""
    address = environ.pop(_ASKS, "")
    name = "\0" + address[1:] if address.startswith("@") else address

    def ready() -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1", name)

    return ready if address else lambda: None
