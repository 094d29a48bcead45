"""Python functions come from a fork server: what it shares, what it must not, and what is done where it cannot be."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fourfold.functions import forkserver
from fourfold.functions.cradle import child
from fourfold.functions.sandboxes import Sandboxes
from fourfold.spawner import kernel
from tests.functions.sandboxing import (
    BRIDGE,
    USER,
    Client,
    handler,
    in_child,
    line,
    needs_limits,
    needs_root,
    opened,
    sandboxed,
    tree,
)
from tests.supervise.rig import until

APP = """
import os, random, sys, json
import colorsys, helper
import vendored
NUMBER = random.random()
def handler(event, context):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    def refused(path):
        try:
            open(path, "w").close()
        except OSError:
            return True
    return {
        "event": event, "number": NUMBER, "pid": os.getpid(), "ids": [*os.getresuid(), *os.getresgid()],
        "caps": [status[name].strip() for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
        "nnp": status["NoNewPrivs"].strip(),
        "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
        "shared": vendored.PROCESS, "own": helper.PROCESS, "stdlib": "colorsys" in sys.modules,
        "write": [refused("/dev/stdout"), refused("/var/task/x"), refused("/tmp/x"), refused("/x")],
        "fds": sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd")
                      if os.path.exists(f"/proc/self/fd/{fd}") and int(fd) > 2),
        "threads": len(os.listdir("/proc/self/task")), "argv": sys.argv, "path": sys.path[0], "cwd": os.getcwd(),
    }
"""


def write_app(folder: Path, vendored: str = "") -> None:
    (folder / "helper.py").write_text("import os, fractions\nPROCESS = os.readlink('/proc/self/ns/pid')\n")
    (folder / "vendored.py").write_text(f"import os\nPROCESS = os.readlink('/proc/self/ns/pid')\n{vendored}\n")
    (folder / "vendored-1.dist-info").mkdir()
    (folder / "vendored-1.dist-info/RECORD").write_text("vendored.py,,\nvendored-1.dist-info/RECORD,,\n")


async def two(sandboxes: Sandboxes) -> list[dict[str, Any]]:
    """What two of them answer."""
    answers = []
    for number in range(2):
        sandbox = await sandboxes.start()
        client = await Client.of(sandbox)
        answers.append(await client.handle(number))
        client.close()
        assert [each["event"] for each in answers] == list(range(number + 1))
    return answers


@pytest.mark.parametrize(
    ("preload", "vendored", "shared", "note"),
    [
        ("modules", "", True, ""),
        ("none", "", False, ""),
        ("modules", "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", False,
         "vendored is not preloaded: it starts a thread when it is imported"),
        ("modules", "import socket; SOCKET = socket.socket()", False,
         "vendored is not preloaded: it opens a socket when it is imported"),
        ("modules", "R, W = os.pipe()", False, "vendored is not preloaded: it opens a pipe when it is imported"),
        ("modules", "FILE = open(__file__)", False, "vendored is not preloaded: it opens a file when it is imported"),
        ("modules", "import subprocess\nif os.getpid() == 1: CHILD = subprocess.Popen(['sleep', '60'])", False,
         "vendored is not preloaded: it starts a process when it is imported"),
        ("modules", "if os.getpid() == 1: raise RuntimeError('not here')", False,
         "cannot preload vendored: RuntimeError: not here"),
        ("modules", "if os.getpid() == 1: os._exit(3)", False,
         "nothing is preloaded: the fork server ended while it imported"),
    ],
)  # fmt: skip
@needs_root
def test_what_is_preloaded(preload: Any, vendored: str, shared: bool, note: str) -> None:
    @sandboxed
    async def go() -> None:
        with tree() as folder:
            write_app(folder, vendored)
            async with opened(handler(folder, APP, preload=preload, network=BRIDGE)) as sandboxes:
                assert "forkserver" not in sandboxes.missing
                first, second = await two(sandboxes)
                assert sandboxes.notes == ([note] if note else [])
        assert (first["shared"] == second["shared"]) is shared
        assert first["own"] != second["own"] and first["number"] != second["number"]
        assert first["ids"] == [USER.uid] * 3 + [USER.gid] * 3 and first["pid"] == 2 and first["pids"] == [1, 2]
        assert set(first["caps"]) == {"0" * 16} and first["nnp"] == "1"
        assert first["write"] == [None, True, None, True]
        assert first["argv"] == ["awslambdaric", "app.handler"]
        assert first["path"] == first["cwd"] == "/var/task"
        if shared:
            assert {*first["fds"]} == {"socket"} and first["threads"] == 1
            assert len(first["fds"]) <= 3, "its connection to us, and what libcurl keeps to itself"

    go()


@needs_root
@sandboxed
async def test_a_preloaded_handler_and_one_that_cannot_be_loaded() -> None:
    with tree() as folder:
        write_app(folder)
        async with opened(handler(folder, APP, preload="handler")) as sandboxes:
            first, second = await two(sandboxes)
            assert first["number"] == second["number"] and first["own"] == second["own"]
    with tree() as folder:
        async with opened(handler(folder, "import nowhere\n", preload="handler")) as sandboxes:
            sandbox = await sandboxes.start()
            connection, _ = await asyncio.get_running_loop().sock_accept(sandbox.listener)
            head, body = await Client(connection).read()
            assert head.startswith("POST /2018-06-01/runtime/init/error ") and b"nowhere" in body
            assert sandboxes.notes == ["cannot preload app: ModuleNotFoundError: No module named 'nowhere'"]


_X86 = os.uname().machine == "x86_64"


@pytest.mark.parametrize(
    ("number", "argument", "why"),
    [
        (272 if _X86 else 97, 0, "no user namespaces: Operation not permitted"),
        (308 if _X86 else 268, 1, "the host refuses its sandboxes: [Errno 1] setns: Operation not permitted"),
    ],
    ids=["unshare", "setns"],
)
@needs_root
def test_without_user_namespaces_each_starts_its_interpreter(number: int, argument: int, why: str) -> None:
    answers: list[dict[str, Any]] = []

    async def go() -> None:
        with tree() as folder:
            write_app(folder)
            async with opened(handler(folder, APP)) as sandboxes:
                assert sandboxes.missing["forkserver"] == why
                answers.extend(await two(sandboxes))
                assert answers[0]["shared"] != answers[1]["shared"] and answers[0]["number"] != answers[1]["number"]
                assert answers[0]["pids"] == [1, 2] and set(answers[0]["caps"]) == {"0" * 16}
                assert answers[0]["write"] == [None, True, None, True] and answers[0]["path"] == "/var/task"

    def do() -> None:
        refuse_user_namespaces(number, argument)
        sandboxed(go)()

    in_child(do)


def refuse_user_namespaces(number: int, argument: int) -> None:
    """To us and all that we start, as some hosts do to everybody. seccomp(2): a call with CLONE_NEWUSER in there."""
    load, equal, test, answer = 0x20, 0x15, 0x45, 0x06  # BPF_LD | BPF_ABS, BPF_JMP | BPF_JEQ, | BPF_JSET, BPF_RET
    refused, allowed = 0x00050000 | errno.EPERM, 0x7FFF0000
    program = [
        (load, 0, 0, 0),
        (equal, 0, 3, number),
        (load, 0, 0, 16 + 8 * argument),
        (test, 0, 1, kernel.CLONE_NEWUSER),
    ]
    code = b"".join(struct.pack("HBBI", *each) for each in [*program, (answer, 0, 0, refused), (answer, 0, 0, allowed)])
    held = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HP", len(code) // 8, ctypes.addressof(held))
    forkserver.call("prctl", 22, ctypes.c_ulong(2), ctypes.c_char_p(header))


@needs_limits
@needs_root
@sandboxed
async def test_its_death_and_a_runtime_that_is_not_there() -> None:
    with tree() as folder:
        write_app(folder)
        async with opened(handler(folder, APP)) as sandboxes:
            sandbox = await sandboxes.start()
            client = await Client.of(sandbox)
            group = Path(sandbox.group.folders[0]).parent / "forkserver"
            os.kill(int((group / "cgroup.procs").read_text().split()[0]), signal.SIGKILL)
            exited = await asyncio.wait_for(sandbox.exited, 60)
            assert str(exited) == "signal: killed" and not exited.oom
            await sandboxes.kill(sandbox)
            client.close()
            assert await two(sandboxes)
            assert sandboxes.notes == ["the fork server has ended, and its sandboxes with it"]
    with tree() as folder:
        given = handler(folder, APP)
        (folder / ".fourfold/runtime").rename(folder / "elsewhere")
        async with opened(given) as sandboxes:
            assert "No module named 'awslambdaric'" in sandboxes.missing["forkserver"]
            sandbox = await sandboxes.start()
            assert "No module named awslambdaric" in await line(sandbox)
            await until(sandbox.exited.done, "it does not end")


def test_what_a_file_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver, "TASK", str(tmp_path))
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").write_text("import zlib\n")
    (tmp_path / "pkg/app.py").write_text(
        "import a.b, pkg.more as m\nfrom c.d import e\nfrom . import f\ntry:\n    import fast\nexcept ImportError:\n"
        "    import slow\nif True:\n    import conditional\ndef g():\n    import lazy\n"
    )
    (tmp_path / "pkg/more.py").write_text("import pkg.app, bz2\n")
    (tmp_path / "broken.py").write_text("import (\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/__init__.py").write_text("import never\n")
    (tmp_path / "a-1.0.dist-info").mkdir()
    (tmp_path / "a-1.0.dist-info/RECORD").write_text("a/__init__.py,,\n../../bin/a,,\nsix.py,,\n_c.so,,\n")
    assert forkserver.third_party() == {"a", "six"}
    assert forkserver.wanted("pkg/app.handler", "modules") == ["a.b", "c.d", "fast", "bz2"]
    assert forkserver.wanted("pkg.app.handler", "handler") == ["pkg.app"]
    assert forkserver.wanted("pkg.app.handler", "none") == []
    assert forkserver.wanted("broken.handler", "modules") == []
    assert forkserver.wanted("nowhere.handler", "modules") == []


def test_it_is_for_any_python_from_3_8_on() -> None:
    import ast

    ast.parse(Path(forkserver.__file__).read_text(), feature_version=(3, 8))


@needs_root
def test_a_user_namespace_holds_its_owner_alone() -> None:
    fd = child.own_users(USER)
    try:
        inside = ["nsenter", f"--user=/proc/self/fd/{fd}", "--preserve-credentials", sys.executable, "-c"]
        maps = "for name in ('uid', 'gid'): print(open(f'/proc/self/{name}_map').read().split())"
        text = subprocess.run([*inside, maps], pass_fds=(fd,), capture_output=True, text=True, check=True).stdout
    finally:
        os.close(fd)
    assert text.splitlines() == [str([str(USER.uid)] * 2 + ["1"]), str([str(USER.gid)] * 2 + ["1"])]
