"""The socket: only its owner's, stale ones replaced, living ones left alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.api.app import create_app
from fourfold.api.server import listen, serve
from fourfold.errors import ConflictError, UserError
from tests.api.fake import FakeFacade
from tests.api.serving import Serving, serving


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ff-") as made:
        yield Path(made)


def test_only_its_owner_opens_it(server: Serving) -> None:
    assert stat.S_IMODE(server.socket.lstat().st_mode) == 0o600
    assert stat.S_IMODE(server.socket.parent.lstat().st_mode) == 0o700


def test_a_stale_one_is_replaced(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(path) as server:
        assert server.answers()
    assert not path.exists()


def test_one_that_answers_is_left_alone(server: Serving) -> None:
    with pytest.raises(ConflictError, match="another daemon answers there"):
        listen(server.socket)
    assert server.answers()


def test_what_is_not_a_socket_is_left_alone(folder: Path) -> None:
    path = folder / "s"
    path.write_text("precious")
    with pytest.raises(UserError, match="not a socket"):
        listen(path)
    assert path.read_text() == "precious"


def test_the_successors_socket_is_not_removed(folder: Path) -> None:
    path = folder / "s"
    with serving(path) as server:
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
            server.stop()
            assert path.exists()


def test_whoever_is_told_that_it_listens_can_connect(folder: Path) -> None:
    """At that moment, not a little later: systemd lets go on whoever waits for us."""
    path, found = folder / "s", list[int]()

    async def go() -> None:
        told = asyncio.Event()

        def listening() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                found.append(client.connect_ex(str(path)))
            told.set()

        serving = asyncio.create_task(serve(create_app(FakeFacade()), path, listening))
        await told.wait()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    asyncio.run(go())
    assert found == [0]
