"""The daemon's own log is bounded, and loses nothing of what is written meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from fourfold.control.ownlog import turn_over


def test_a_full_one_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    outputs = tuple(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for _ in range(2))
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    try:
        os.write(outputs[0], b"x" * 100)
        assert not turn_over(path, 100, outputs)
        os.write(outputs[1], b"y")
        assert not turn_over(path, 100, (other,))  # a service manager has ours
        assert turn_over(path, 100, (*outputs, other))
        for fd in outputs:
            os.write(fd, b"new ")
        os.write(other, b"theirs")
        assert path.read_bytes() == b"new new " and path.stat().st_mode & 0o777 == 0o600
        assert path.with_name("daemon.log.1").read_bytes() == b"x" * 100 + b"y"
        assert turn_over(path, 3, outputs)
        assert path.with_name("daemon.log.1").read_bytes() == b"new new "
        path.unlink()
        assert not turn_over(path, 3, outputs)
    finally:
        for fd in (*outputs, other):
            os.close(fd)
