"""What cannot work is found before anything changes, and said in the words of the person who asked."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from fourfold.errors import UserError, WorldError
from fourfold.gateway import listening, program
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule
from fourfold.gateway.socket import NotRunning, ask, lines
from tests.gateway.rig import Rig, get, with_rig
from tests.support.ports import free_port


@with_rig
async def test_an_address_of_another_program_is_refused_with_its_name(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    streams = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=streams, stdout=streams)
    assert other.stdout
    port = int(await other.stdout.readline())
    for taken in (
        GatewayConfig((Frontend(f":{port}"),)),
        GatewayConfig((Frontend(f"127.0.0.1:{port}"),)),
        GatewayConfig(backends=(Backend("shop.web", (), port),)),
    ):
        with pytest.raises(UserError, match=rf"cannot listen on .*{port} .*\(pid {other.pid}, in .+\) has it"):
            await rig.gateway.check(taken)
        with pytest.raises(UserError):
            await rig.gateway.apply(taken)
    other.kill()
    await other.wait()
    assert (await get(rig.port)).status == 200


@with_rig
async def test_our_own_addresses_are_no_conflict(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    await rig.gateway.check(rig.config([web.server]))
    everywhere = GatewayConfig((Frontend(f":{rig.port}", (Rule("shop.web"),)),), rig.config([web.server]).backends)
    assert await rig.gateway.apply(everywhere)
    assert (await get(rig.port)).status == 200


@with_rig
async def test_what_is_left_of_one_that_was_killed_is_ours(rig: Rig) -> None:
    """Its workers keep the addresses until they see that their master is gone, and nobody says whose they are."""
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    processes = await rig.gateway._processes()
    assert processes and processes.current
    os.kill(processes.current, signal.SIGSTOP)
    os.kill(processes.master, signal.SIGKILL)
    try:
        await rig.gateway.check(rig.config([web.server]))
    finally:
        os.kill(processes.current, signal.SIGKILL)


@with_rig
async def test_haproxy_is_not_asked_again_about_what_it_found_good(rig: Rig) -> None:
    web, more = await rig.program(), await rig.program("shop.web-1-more")
    asked: list[Path] = []

    async def check(binary: str, folder: Path) -> None:
        asked.append(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "check", check)
        await rig.gateway.check(rig.config([web.server]))
        await rig.gateway.check(rig.config([web.server, more.server]))  # servers come and go without a reload
        assert len(asked) == 1
        await rig.gateway.check(rig.config([web.server], [Rule("shop.web", path="/other")]))
        assert len(asked) == 2


def test_the_same_port_of_another_address_is_no_conflict() -> None:
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        listening.refuse_taken([("x", "127.0.0.1", port)], ipv6=True)
        with pytest.raises(UserError, match=f"pid {os.getpid()}"):
            listening.refuse_taken([("x", "", port)], ipv6=True)
        listening.refuse_taken([("x", "", port)], ipv6=True, ours=os.getpid().__eq__)


def test_one_that_ends_while_it_is_looked_for_has_it_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]

    def look() -> list[tuple[str, int, int | None]]:
        other.close()
        return []

    monkeypatch.setattr(listening, "_listeners", look)
    listening.refuse_taken([("x", "127.0.0.1", port)], ipv6=False)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match="this machine has no such address"):
        listening.refuse_taken([("x", "192.0.2.1", free_port())], ipv6=False)


@with_rig
async def test_a_home_with_a_long_path_works(rig: Rig) -> None:
    """Unix sockets have at most 107 bytes of address; the gateway's are relative."""
    deep = Rig()
    deep.paths = type(deep.paths)(*(deep.home / ("x" * 120) / name for name in ("state", "run", "config")))
    deep.gateway = Gateway(deep.paths)
    try:
        await deep.start(deep.config())
        assert await deep.gateway.ready()
        assert (await get(deep.port)).status == 503
    finally:
        await deep.close()


def fake(folder: Path, says: str) -> str:
    path = folder / "haproxy"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


def test_versions(tmp_path: Path) -> None:
    def version(says: str) -> tuple[int, ...]:
        return asyncio.run(program.version(fake(tmp_path, says)))

    assert version("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/") == (2, 6, 12)
    assert version("HAProxy version 3.0-dev1 2024/01/01") == (3, 0)
    for old in ("HA-Proxy version 1.8.4-1deb90d 2018/02/08", "HAProxy version 2.5.14"):
        with pytest.raises(UserError, match="too old"):
            version(old)
    with pytest.raises(WorldError, match="cannot tell the version"):
        version("no such thing")
    with pytest.raises(WorldError, match="cannot run"):
        asyncio.run(program.version(str(tmp_path / "missing")))
    assert asyncio.run(program.version(program.find())) >= (2, 6)


def test_no_haproxy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(UserError, match="HAProxy is not installed"):
        program.find()


TEXT = """global
  x
defaults
frontend public-all:80
  bind x
frontend internal-a.b
  bind y
backend a.b
  server
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("[NOTICE] x\n[ALERT]    (1) : config : parsing [haproxy.cfg:5] : 'bind' : no\n", "listen all:80: 'bind' : no"),
        ("[ALERT]    (1) : config : parsing [haproxy.cfg:7] : no\n", "internal address of a.b: no"),
        ("[ALERT]    (1) : config : parsing [/x/haproxy.cfg:9] : bad\n[ALERT] (1) : more", "service a.b: bad"),
        ("[ALERT]    (1) : config : Fatal errors found.\n", "Fatal errors found."),
        ("", "no reason given"),
    ],
)
def test_haproxys_words_are_about_services(output: str, words: str) -> None:
    assert program.explain(output, TEXT) == words


def test_a_configuration_that_haproxy_refuses(tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text("defaults\n  mode http\nbackend a.b\n  balance nonsense\n")
    with pytest.raises(UserError, match=r"cannot use this gateway configuration: service a\.b: .*balance"):
        asyncio.run(program.check(program.find(), tmp_path))


def test_nobody_answers(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(NotRunning):
            await ask(tmp_path / "none.sock", "show proc")
        with pytest.raises(NotRunning):
            await ask(tmp_path / "no" / "folder.sock", "show proc")

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            await asyncio.Event().wait()

        server = await asyncio.start_unix_server(silent, tmp_path / "silent.sock")
        with pytest.raises(WorldError, match="no answer"):
            await ask(tmp_path / "silent.sock", "show proc", timeout=0.1)
        server.close()

    asyncio.run(run())


def test_commands_are_packed_below_the_buffers_size() -> None:
    commands = [f"add server shop.web/{number:04} 127.0.0.1:1" for number in range(1000)]
    packed = list(lines(commands, "@!17"))
    assert all(line.startswith("@!17; add ") and len(line) < 12_100 for line in packed)
    assert "; ".join(line.removeprefix("@!17; ") for line in packed) == "; ".join(commands)
    assert len(packed) < 6
    assert list(lines([], "@!17")) == []
