"""Daemons that have imported already: forked off a process that did, once. To import takes most of their start, and a
test that kills one at each of its steps starts a hundred.

They are told apart from others by their pid alone: their command line and environment in /proc are that process's.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["fourfold.serving", "fourfold.api.app", "fourfold.api.aws.listener", "fourfold.api.server"]
)


class ForkedDaemon:
    """As much of `subprocess.Popen` as tests use of a daemon."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self._process = _FORKS.Process(target=_run, args=(dict(environ), log))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise TimeoutError(f"the daemon {self.pid} has not ended within {timeout} s")
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(environ: dict[str, str], log: Path) -> None:
    os.setsid()
    with log.open("ab") as out, Path(os.devnull).open("rb") as nothing:
        for here, as_number in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(here.fileno(), as_number)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["fourfold.daemon"]
    from fourfold.daemon import main

    main()
