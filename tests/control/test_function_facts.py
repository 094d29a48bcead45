"""Where invokers are found on this host, and what their ends are told as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.control.instances.functions import clear_sockets, explained, socket_of
from fourfold.paths import LONGEST_SOCKET, Paths
from fourfold.supervise import logs
from fourfold.supervise.model import Exit

NAME = "shop.thumb-1-a"
EXIT = Exit(1, NAME, 1, None, False, 0.0)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)
    made.functions.mkdir(parents=True)
    return made


def test_sockets_are_short_and_go_with_their_instances(paths: Paths) -> None:
    long = Paths.find({}, 0)
    assert len(str(socket_of(long, f"{'a' * 60}.{'b' * 60}-123-wxyz"))) < LONGEST_SOCKET // 2
    for name in (NAME, "shop.thumb-1-b"):
        socket_of(paths, name).touch()
    clear_sockets(paths, [NAME])
    assert list(paths.functions.iterdir()) == [socket_of(paths, NAME)]
    clear_sockets(Paths.find({"FOURFOLD_HOME": "/nonexistent"}, 0), [])


def test_an_invoker_that_cannot_start_says_why(paths: Paths) -> None:
    log = logs.path_of(paths, NAME, EXIT.run)
    log.parent.mkdir(parents=True)
    assert str(explained(paths, EXIT)) == "exit code 1"
    why = "app.handler: Runtime.ImportModuleError: Unable to import module 'app'"
    log.write_text(f"Traceback\n[fourfold] cannot start function thumb: {why}\n")
    assert str(explained(paths, EXIT)) == f"its first sandbox did not come up: {why}"
    log.write_text("[fourfold] cannot go on with function thumb: the cradle has ended\n")
    assert str(explained(paths, EXIT)) == "its invoker could not go on: the cradle has ended"
    assert str(explained(paths, replace(EXIT, code=None, signal=9, oom=True))) == "killed by signal 9"
