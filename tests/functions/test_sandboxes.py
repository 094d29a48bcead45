"""What a sandbox sees and may do, from inside, and how it ends. As root, in networks and groups of the tests' own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.functions.model import Config
from fourfold.functions.sandboxes import Exited, SandboxError
from fourfold.launch.names import resolv_conf
from fourfold.supervise.network.hostnames import read_host_names
from tests.functions.sandboxing import (
    BRIDGE,
    MIB,
    USER,
    config,
    ended,
    forget_v2,
    handler,
    has_v1_freezer,
    in_child,
    line,
    needs_limits,
    needs_root,
    opened,
    python,
    sandboxed,
    told,
    tree,
)
from tests.supervise.rig import until

pytestmark = needs_root

LOOK = """
import getpass, grp, json, os, resource, socket
def refused(action):
    try:
        action()
    except OSError as error:
        return error.errno
    return 0
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
    "name": [getpass.getuser(), grp.getgrgid(os.getgid()).gr_name],
    "caps": [status[name].strip() for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
    "nnp": status["NoNewPrivs"].strip(),
    "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "me": os.getpid(),
    "cwd": os.getcwd(),
    "task": sorted(os.listdir("/var/task")), "app": sorted(os.listdir("/app")),
    "runtime": os.listdir("/var/runtime"), "opt": sorted(os.listdir("/opt")), "over": open("/opt/both").read(),
    "hidden": refused(lambda: os.listdir(HIDDEN)),
    "write": [refused(lambda each=each: open(each, "w")) for each in
              ("/var/task/x", "/app/x", "/var/runtime/x", "/opt/x", "/x", "/etc/x", "/usr/x")],
    "tmp": os.listdir("/tmp"), "names": open("/etc/resolv.conf").read(),
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
    "files": list(resource.getrlimit(resource.RLIMIT_NOFILE)), "core": list(resource.getrlimit(resource.RLIMIT_CORE)),
    "links": sorted(name for _, name in socket.if_nameindex()),
    "stdout": refused(lambda: open("/dev/stdout", "w")),
    "secret": os.environ["SECRET"],
    "mount": refused(lambda: os.chroot("/")),
}))
"""


@sandboxed
async def test_from_inside() -> None:
    with tree() as folder, tree() as lower, tree() as upper, tree() as hidden:
        (folder / ".fourfold/runtime").mkdir(parents=True)
        (folder / ".fourfold/runtime/client").touch()
        for layer, text in ((lower, "lower"), (upper, "upper")):
            (layer / "both").write_text(text)
            (layer / text).touch()
        (hidden / "state").write_text("not yours")
        where = Path("/var/lib") / f"fourfold-test-{os.getpid()}"
        where.mkdir()
        try:
            code = LOOK.replace("HIDDEN", repr(str(where)))
            seen = await told(
                python(folder, code, layers=(str(lower), str(upper)), hidden=(str(where),), network=BRIDGE)
            )
        finally:
            where.rmdir()
    assert seen["ids"] == [USER.uid] * 3 + [USER.gid] * 3 and seen["name"] == [USER.name] * 2
    assert set(seen["caps"]) == {"0" * 16} and seen["nnp"] == "1"
    assert seen["pids"] == [1, 2] and seen["me"] == 2
    assert seen["cwd"] == "/var/task" and seen["task"] == seen["app"] == [".fourfold", "program.py"]
    assert seen["runtime"] == ["client"] and seen["opt"] == ["both", "lower", "upper"] and seen["over"] == "upper"
    assert seen["hidden"] and all(seen["write"]), "it sees or writes what it must not"
    assert seen["fds"] == [0, 1, 2] and seen["names"] == resolv_conf(read_host_names())
    assert seen["tmp"] == [] and seen["files"] == [1024, 1024] and seen["core"] == [0, 0]
    assert seen["links"] == ["eth0", "lo"] and seen["stdout"] == 0 and seen["secret"] == "s3cret" and seen["mount"]


NETWORK = """
import json, socket
def reach(*address, patience=30):
    try:
        with socket.create_connection(address, timeout=patience) as connection:
            return connection.recv(100).decode()
    except OSError as error:
        return type(error).__name__
own = {line.split()[1] for line in open("/proc/net/fib_trie") if "--" in line}
own = [each for each in own if each.startswith("10.9.1.")]
nobody = reach("10.9.1.0", 7001, patience=0.5)
print(json.dumps([reach("10.9.0.1", 7000), reach("127.0.0.1", 7000), nobody, own]))
import time
time.sleep(60)
"""


@sandboxed
async def test_its_network_reaches_the_host_and_no_other_sandbox() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"from " + writer.get_extra_info("peername")[0].encode())
        writer.close()

    server = await asyncio.start_server(greet, "10.9.0.1", 7000)
    with tree() as folder:
        async with opened(python(folder, NETWORK, network=BRIDGE)) as sandboxes:
            first = await sandboxes.start()
            second = await sandboxes.start()
            assert first.number == 0
            address = f"10.9.1.{second.number}"  # of those made ahead, whichever was ready first
            listener = first.listener
            assert listener.getsockname() == ("127.0.0.1", 9001)
            said = json.loads(await line(second))
            assert said == [f"from {address}", "ConnectionRefusedError", "TimeoutError", [address]]
            await sandboxes.kill(first)
            assert listener.fileno() < 0
            again = await sandboxes.start()
            await sandboxes.kill(again)
            await sandboxes.kill(second)
            assert {second.exited.result(), again.exited.result()} == {Exited(None, signal.SIGKILL, False)}
        await until(lambda: [name for _, name in socket.if_nameindex()] == ["lo", "br9"], "interfaces were left")
    server.close()


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("raise SystemExit(7)", "exit status 7"),
        ("import os; os.kill(os.getpid(), 9)", "signal: killed"),
        ("import os; os.abort()", "signal: aborted"),
        ("import os; os.kill(os.getpid(), 15)", "signal: terminated"),
        ("import os\nif os.fork():\n    os._exit(3)\nimport time; time.sleep(1000)", "exit status 3"),
    ],
)
def test_how_it_ends(code: str, how: str) -> None:
    @sandboxed
    async def go() -> None:
        with tree() as folder:
            exited, text = await ended(python(folder, code))
            assert str(exited) == how, text

    go()


@sandboxed
async def test_a_program_that_is_not_there_and_what_it_says_to_closed_streams() -> None:
    with tree() as folder:
        exited, text = await ended(config(folder, "/var/task/bootstrap"))
        assert str(exited) == "exit status 127" and text.startswith("cannot run /var/task/bootstrap: ")
        (folder / "bootstrap").write_text("#!/bin/sh\n")
        exited, text = await ended(config(folder, "/var/task/bootstrap"))
        assert str(exited) == "exit status 126" and "Permission denied" in text
        exited, text = await ended(python(folder, "import os; os.close(1); os.close(2); os._exit(5)"))
        assert str(exited) == "exit status 5"
        with pytest.raises(SandboxError, match="cannot make sandboxes"):
            async with opened(config(folder / "missing", "/bin/true")):
                pass


LIMITS = """
import errno, os, resource, signal
files = []
try:
    while True:
        files.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print(error.errno == errno.EMFILE, max(files))
for fd in files:
    os.close(fd)
try:
    with open("/tmp/full", "wb", buffering=0) as file:
        while file.write(bytes(1 << 20)):
            pass
except OSError as error:
    print(error.errno == errno.ENOSPC, os.path.getsize("/tmp/full") >> 20)
children = []
try:
    while True:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except OSError as error:
    print(error.errno == errno.EAGAIN, len(children))
"""


@needs_limits
@sandboxed
async def test_limits() -> None:
    with tree() as folder:
        exited, text = await ended(python(folder, LIMITS, memory=2048 * MIB))
        assert str(exited) == "exit status 0", text
        assert text == "True 1023\nTrue 16\nTrue 1022\n"


HOG = "x = []\nwhile True: x.append(bytearray(1 << 20))"
BOMB = "import os, time\nprint('up', flush=True)\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)"


@pytest.mark.parametrize("make", [python, handler])
@needs_limits
def test_a_memory_hog_is_killed_alone_and_a_fork_bomb_whole(make: Callable[..., Config]) -> None:
    @sandboxed
    async def go() -> None:
        with tree() as folder:
            async with opened(make(folder, HOG, memory=64 * MIB)) as sandboxes:
                hogs = [await sandboxes.start() for _ in range(2)]
                for each in hogs:
                    assert await asyncio.wait_for(each.exited, 60) == Exited(None, signal.SIGKILL, True)
                assert 60 * MIB < (sandboxes.usage(hogs[0]).peak_bytes or 0) <= 64 * MIB
                for each in hogs:
                    await sandboxes.kill(each)
                    await sandboxes.kill(each)
        with tree() as folder:
            async with opened(make(folder, BOMB, memory=512 * MIB)) as sandboxes:
                bomb = await sandboxes.start()
                assert await line(bomb) == "up"
                sandboxes.begin(bomb)
                await sandboxes.kill(bomb)
                assert bomb.exited.result().signal == signal.SIGKILL
                os.close(bomb.output)

    go()


BUSY = """
import threading
def spin():
    while True:
        pass
threading.Thread(target=spin).start()
x = bytearray(48 << 20)
del x
print("up", flush=True)
"""


@needs_limits
@sandboxed
async def test_frozen_between_events() -> None:
    with tree() as folder:
        async with opened(python(folder, BUSY)) as sandboxes:
            busy = await sandboxes.start()
            assert await line(busy) == "up"
            assert (sandboxes.usage(busy).peak_bytes or 0) > 48 * MIB
            assert _quota(busy.group.quota) == 100_000, "a core, until its first event"
            sandboxes.begin(busy)
            assert _quota(busy.group.quota) == 14_471
            assert (sandboxes.usage(busy).peak_bytes or 0) < 48 * MIB, "its peak is forgotten"
            sandboxes.freeze(busy)
            await until(lambda: _state(busy.group.freeze), "it does not freeze")
            before = sandboxes.usage(busy).cpu_seconds
            assert before
            await asyncio.sleep(0.05)
            assert sandboxes.usage(busy).cpu_seconds == before
            await sandboxes.thaw(busy)
            await until(lambda: (sandboxes.usage(busy).cpu_seconds or 0) > before, "it does not run again")
            sandboxes.freeze(busy)
            await asyncio.wait_for(sandboxes.kill(busy), 60)
            assert busy.exited.result().signal == signal.SIGKILL
            os.close(busy.output)


@pytest.mark.skipif(not has_v1_freezer, reason="this host's control groups are v2 alone")
@needs_limits
def test_frozen_by_v1() -> None:
    def do() -> None:
        forget_v2()
        test_frozen_between_events()

    in_child(do)


def _quota(path: str) -> int:
    return int(Path(path).read_text().split()[0])


def _state(path: str) -> bool:
    if path.endswith("freezer.state"):
        return Path(path).read_text() == "FROZEN\n"
    return "frozen 1" in Path(path).with_name("cgroup.events").read_text()


@sandboxed
async def test_all_in_use_is_refused_and_numbers_come_again() -> None:
    with tree() as folder:
        async with opened(python(folder, "import time; time.sleep(1000)", concurrency=3)) as sandboxes:
            running = await asyncio.gather(*(sandboxes.start() for _ in range(3)))
            assert sorted(each.number for each in running) == [0, 1, 2]
            with pytest.raises(SandboxError, match="all 3 sandboxes are in use"):
                await sandboxes.start()
            await sandboxes.kill(running[1])
            assert (await sandboxes.start()).number == running[1].number
            asking = asyncio.ensure_future(sandboxes.start())
            await asyncio.sleep(0)
            asking.cancel()
            await sandboxes.kill(running[0])
            assert (await sandboxes.start()).number == running[0].number


@sandboxed
async def test_output_that_nobody_reads_and_a_flood() -> None:
    with tree() as folder:
        flood = (
            "import os\nos.set_blocking(1, False)\ntry:\n    while True: os.write(1, bytes(4096))\nexcept OSError: pass"
        )
        exited, text = await ended(python(folder, flood))
        assert str(exited) == "exit status 0" and len(text) >= 4096


def test_words() -> None:
    table = [
        (Exited(1, None, False), "exit status 1"),
        (Exited(None, 9, True), "signal: killed"),
        (Exited(None, 11, False), "signal: segmentation fault"),
        (Exited(None, None, False), "exit status unknown"),
    ]
    assert [str(each) for each, _ in table] == [text for _, text in table]
