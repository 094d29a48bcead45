"""Whose connection that is: of the same host, asked of the kernel. sock_diag(7), `struct inet_diag_req_v2`."""

from __future__ import annotations

import socket
import struct

_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST = 1
_ANY = 0xFFFFFFFF
_UID = 16 + 4 + 48 + 12
"""Behind the header, four bytes, the socket's addresses, and three numbers."""


def uid_of(port: int, own: int) -> int | None:
    """Of whoever is connected from `port` to our port `own`, both on 127.0.0.1; None where the kernel does not tell."""
    here = socket.inet_aton("127.0.0.1") + bytes(12)
    ends = struct.pack("!HH", port, own) + here + here + struct.pack("=III", 0, _ANY, _ANY)
    asked = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY) + ends
    header = struct.pack("=IHHII", 16 + len(asked), _BY_FAMILY, _REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.settimeout(1)
            kernel.send(header + asked)
            answer = kernel.recv(4096)
    except OSError:
        return None
    if len(answer) < _UID + 4 or struct.unpack_from("=H", answer, 4)[0] != _BY_FAMILY:
        return None
    uid: int = struct.unpack_from("=I", answer, _UID)[0]
    return uid
