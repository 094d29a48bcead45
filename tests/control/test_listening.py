"""What begins to listen is noticed, and what does not is waited for no longer than one was told to."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from contextlib import ExitStack

import pytest

from fourfold.control.instances.listening import Listening, of_family, ports


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


@pytest.mark.parametrize("kind", [2, 3])
def test_a_kernel_that_cannot_tell_says_so(kind: int) -> None:
    """NLMSG_ERROR, or NLMSG_DONE with an error: that nobody listens would be something else."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernel:
        kernel.send(struct.pack("=IHHIIi", 20, kind, 0, 0, 0, -errno.ENOENT))
        with pytest.raises(FileNotFoundError):
            of_family(ours, socket.AF_INET)


def test_who_waits_hears_when_it_begins() -> None:
    looks = iter([set(), {1}, {1}, {1, 2}])

    async def both() -> None:
        listening, now = Listening(lambda: next(looks)), asyncio.get_running_loop().time()
        async with asyncio.timeout(50):
            await asyncio.gather(listening.begins(1, now, 60), listening.begins(2, now, 60))

    asyncio.run(both())
    assert not list(looks), "one look is for all who wait, and nobody looks any more when none does"


def test_who_waits_in_vain_does_so_for_so_long_only() -> None:
    async def vain() -> None:
        async with asyncio.timeout(50):
            await Listening(set).begins(1, 0.0, 0.05)

    asyncio.run(vain())


def test_where_the_kernel_does_not_tell_all_may_listen() -> None:
    def refuses() -> set[int]:
        raise OSError

    async def asked() -> None:
        async with asyncio.timeout(50):
            await Listening(refuses).begins(1, 0.0, 60)

    asyncio.run(asked())
