"""Requests to the spawner arrive whole and with their own descriptors, whatever becomes of who asked."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import closing

from fourfold.supervise.spawner.wire import Client


def test_one_that_is_cancelled_while_the_spawner_is_busy_takes_nothing_from_the_next() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setblocking(False)
        client = Client(ours, lambda event: None, lambda: None)
        first, second = os.pipe()
        asked = [asyncio.create_task(client.call("spawn", (fd,), spawn="x" * 1_000_000)) for fd in (first, second)]
        await asyncio.sleep(0)
        for task, fd in zip(asked, (first, second), strict=True):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            os.close(fd)
        asked.append(asyncio.create_task(client.call("hello")))
        data, passed = b"", list[int]()
        while data.count(b"\n") < 3:
            try:
                piece, fds, _, _ = socket.recv_fds(theirs, 1 << 20, 16)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            data, passed = data + piece, passed + fds
        assert [json.loads(line)["op"] for line in data.splitlines()] == ["spawn", "spawn", "hello"]
        os.write(passed[1], b"!")
        assert os.read(passed[0], 1) == b"!" and len(passed) == 2
        theirs.sendall(b'{"id": 3, "ok": "there"}\n')
        assert await asked[-1] == "there"
        await client.close()
        with closing(theirs):
            for fd in passed:
                os.close(fd)

    asyncio.run(asyncio.wait_for(test(), 60))
