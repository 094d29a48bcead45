"""Telling systemd that the daemon answers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fourfold.api.ready import notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_whoever_asks_is_told_and_nobody_inherits_it(abstract: bool, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{tmp_path}" if abstract else str(tmp_path / "notify"))
        manager.settimeout(10)
        environ = {"NOTIFY_SOCKET": f"@{tmp_path}" if abstract else str(tmp_path / "notify"), "PATH": "/bin"}
        ready = notifier(environ)
        assert environ == {"PATH": "/bin"}
        ready()
        assert manager.recv(100) == b"READY=1"


def test_nobody_asks_or_nobody_listens(tmp_path: Path) -> None:
    notifier({})()
    notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})()
