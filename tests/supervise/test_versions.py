"""A spawner of another version: becomes this one, is refused, or goes on as it is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from fourfold import __version__
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.spawner.request import PROTOCOL
from fourfold.supervise.spawner import versions
from fourfold.supervise.spawner.starting import spawner_argv
from fourfold.supervise.spawner.wire import Client
from tests.supervise.rig import Rig, end, home


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.1.0", "0.1.1"),
        ("0.9.0", "0.10.0"),
        ("0.9", "1.0"),
        ("1.0.0.dev3", "1.0.0a1"),
        ("1.0.0a1", "1.0.0b1"),
        ("1.0.0rc1", "1.0.0rc2"),
        ("1.0.0rc2", "1.0.0"),
        ("nonsense", "0.0.1"),
    ],
)
def test_order(older: str, newer: str) -> None:
    assert versions.is_newer(newer, older) and not versions.is_newer(older, newer)


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0.0"), ("0.1.0", "0.1.0"), ("v1.2", "1.2"), ("x", "y")])
def test_neither_is_newer(one: str, other: str) -> None:
    assert not versions.is_newer(one, other) and not versions.is_newer(other, one)


def renamed(paths: Paths, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """From here on, this program is another version."""
    monkeypatch.setattr(versions, "__version__", version)


def test_an_older_daemon_is_refused_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        pid = await first.sleeper("a.b-1-x")
        renamed(paths, monkeypatch, "0.0.9")
        second = Rig(paths)
        with pytest.raises(UserError, match=r"it is of Fourfold 0.1.0, and this program is 0.0.9, which is older"):
            await second.open()
        assert first.running()["a.b-1-x"].pid == pid and await first.spawner_pid()
        await end(first)

    with home() as paths:
        asyncio.run(test(paths))


def test_a_program_that_does_not_start_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A spawner that tried to become it would be the end of a parent."""

    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        await first.sleeper("a.b-1-x")
        spawner = await first.spawner_pid()
        broken = tmp_path / "broken"
        broken.write_text("#!/bin/sh\necho ImportError: no >&2\nexit 1\n")
        broken.chmod(0o755)
        renamed(paths, monkeypatch, "9.0.0")
        for argv, protocol in (((str(broken),), 0), (("/nowhere/python",), 0), ((str(broken),), 1)):
            monkeypatch.setattr("fourfold.supervise.spawner.connection.spawner_argv", lambda paths, argv=argv: argv)
            monkeypatch.setattr(versions, "PROTOCOL", PROTOCOL + protocol)
            second = Rig(paths)
            if protocol:
                with pytest.raises(WorldError, match=f"pid {spawner}.*from 0.1.0 to 9.0.0: ImportError: no"):
                    await second.open()
                continue
            await second.open()
            assert second.spawner is not None and second.spawner.version == "0.1.0"
            assert await second.spawner_pid() == spawner and list(second.running()) == ["a.b-1-x"]
            second._closing = True
            await second.close()
        await end(first)

    with home() as paths:
        asyncio.run(test(paths))


class Asked(Client):
    """A spawner of another protocol, which takes what that one has; it becomes this version when asked to."""

    def __init__(self, protocol: int) -> None:
        self._answer = {"version": "0.0.9", "protocol": protocol, "pid": 1}
        self._takes = {"argv", "within"} if protocol >= 7 else {"argv"}

    async def call(self, op: str, *_: object, **arguments: Any) -> Any:
        if op == "reexec":
            assert set(arguments) == self._takes
            self._answer = {"version": __version__, "protocol": PROTOCOL, "pid": 1}
        return self._answer


@pytest.mark.parametrize("protocol", [6, 7])
def test_older_spawners_are_asked_in_their_words(protocol: int) -> None:
    async def test() -> None:
        client = Asked(protocol)
        now = await versions.upgrade(client, await versions.hello(client), ["/bin/true"])
        assert versions.is_ours(now)

    asyncio.run(test())


def test_one_that_cannot_be_run_is_said_at_once() -> None:
    argv = spawner_argv(Paths.find({"FOURFOLD_HOME": "/nonexistent"}, os.geteuid()))
    assert versions._trial(argv) == ""
    assert "No such file" in versions._trial(["/nowhere/python"])
