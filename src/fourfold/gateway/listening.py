"""Addresses that cannot be listened on, found before anything changes, and who has them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable

import psutil

from fourfold.errors import UserError

_ALL = ("0.0.0.0", "::")


def nobody(pid: int) -> bool:
    return False


def refuse_taken(addresses: Iterable[tuple[str, str, int]], ipv6: bool, ours: Callable[[int], bool] = nobody) -> None:
    """`addresses`: (what for, host or "" for all, port). `ours`: whether a pid may have them. Raises UserError."""
    listeners: list[tuple[str, int, int | None]] | None = None
    for what, host, port in addresses:
        code = _bind(host, port, ipv6)
        if code == errno.EADDRINUSE:
            if listeners is None:
                listeners = _listeners()
            owners = {pid for ip, number, pid in listeners if number == port and (ip in _ALL or host in ("", ip))}
            others = {pid for pid in owners if pid is None or not ours(pid)}
            if (owners and not others) or not _bind(host, port, ipv6):  # nobody's: it may have ended meanwhile
                continue
            raise UserError(
                f"cannot listen on {_text(host, port)} ({what}): {_names(others)} has it",
                "stop that program or use another port",
            )
        if code:
            raise UserError(f"cannot listen on {_text(host, port)} ({what}): {_reason(code)}", _hint(code, port))


def free_port() -> int:
    """One on loopback that nobody has now, of those that the kernel gives out (ip(7), ip_local_port_range)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bind(host: str, port: int, ipv6: bool) -> int:
    """0, or the errno of binding without sharing: it fails for any listener that is there."""
    families = [(socket.AF_INET6, host)] if ":" in host else [(socket.AF_INET, host or "0.0.0.0")]
    if not host and ipv6:
        families.append((socket.AF_INET6, "::"))
    for family, address in families:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                return error.errno or errno.EINVAL
    return 0


def _listeners() -> list[tuple[str, int, int | None]]:
    """(address, port, pid); the pid is None for a process that we may not look into."""
    return [
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port, connection.pid)
        for connection in psutil.net_connections(kind="tcp")
        if connection.laddr and connection.status == psutil.CONN_LISTEN
    ]


def _names(pids: Iterable[int | None]) -> str:
    names = []
    for pid in sorted(pid for pid in pids if pid):
        try:
            names.append(f"{psutil.Process(pid).name()} (pid {pid}{_place(pid)})")
        except psutil.Error:
            names.append(f"pid {pid}")
    return " and ".join(names) or "another program"


def _place(pid: int) -> str:
    """Where it works, which tells two of one name apart, such as the gateway of another Fourfold."""
    try:
        folder = psutil.Process(pid).cwd()
    except psutil.Error:
        return ""
    return f", in {folder}" if folder.strip("/") else ""


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(code: int) -> str:
    if code == errno.EACCES:
        return "only root may listen on ports this low"
    if code == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return errno.errorcode.get(code, str(code))


def _hint(code: int, port: int) -> str:
    if code == errno.EACCES:
        return f"use a port from 1024 on, or run as root, or set net.ipv4.ip_unprivileged_port_start={port} with sysctl"
    return "use :PORT to listen on every address"
