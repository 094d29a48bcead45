"""What begins to listen is noticed, and what does not is waited for no longer than one was told to."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import pytest

from fourfold.control.listening import Listening, ports


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_kernel_tells_who_listens(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as bound:
        bound.bind((host, 0))
        port = bound.getsockname()[1]
        assert port not in ports()
        bound.listen()
        assert port in ports()


def test_of_many_all_are_told() -> None:
    """They do not fit into one answer."""
    with ExitStack() as opened:
        listening = set()
        for _ in range(400):
            sock = opened.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            listening.add(sock.getsockname()[1])
        assert listening <= ports()


def test_who_waits_hears_when_it_begins() -> None:
    looks = iter([set(), {1}, {1}, {1, 2}])

    async def both() -> bool:
        listening = Listening(lambda: next(looks))
        return all(await asyncio.gather(listening.begins(1, 60), listening.begins(2, 60)))

    assert asyncio.run(both())
    assert not list(looks), "one look is for all who wait, and nobody looks any more when none does"


def test_who_waits_in_vain_is_told() -> None:
    async def vain() -> bool:
        return await Listening(set).begins(1, 0.05)

    assert asyncio.run(vain()) is False


def test_where_the_kernel_does_not_tell_all_may_listen() -> None:
    def refuses() -> set[int]:
        raise OSError

    async def asked() -> bool:
        return await Listening(refuses).begins(1, 60)

    assert asyncio.run(asked()) is True
