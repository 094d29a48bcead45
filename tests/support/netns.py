"""Networks of a test's own: nothing that happens in there is seen on this machine, and it ends with what runs in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fourfold.spawner import kernel, netlink
from fourfold.spawner.request import Bridge, Failed


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts meanwhile, is in a new network namespace with `lo` alone. Only root may."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
        try:
            kernel.loopback_up()
            yield
        finally:
            kernel.setns(before, kernel.CLONE_NEWNET)
    finally:
        os.close(before)


def run(*argv: str) -> str:
    """Its output; AssertionError with what it said when it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def connected(bridge: Bridge, veth: str, do: Callable[[], Any]) -> Any:
    """What `do` gives in a child on `bridge`, as the spawner makes one; its failure as [stage, errno, detail]."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            netlink.connect(bridge, veth)
            answer = do()
        except Failed as failed:
            answer = [failed.stage, failed.errno, failed.detail]
        except BaseException as error:
            answer = repr(error)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        answer = json.loads(file.read())
    os.waitpid(pid, 0)
    return answer
