"""Events reach whoever is ready, under each pattern; what had one and died is told, and never asked twice."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fourfold.control.delivering import invoking as module
from fourfold.control.delivering.invoking import Invoking
from fourfold.control.registry import Registry
from fourfold.errors import NotFoundError, UserError, WorldError
from fourfold.functions.model import Answer, Invocation
from fourfold.paths import Paths
from fourfold.store import layout
from tests.store.samples import add_service, instance, open_in, release, service_row

EVENT = Invocation(b'{"a": 1}', "0-1", client_context='{"c": 2}', tail=True)
HANDLER = {"source": "./x", "port": 8080, "function": {"handler": "app.handler", "timeout": 1.0}}
WEB = {"source": "./x", "run": "x", "port": 8080}
Told = tuple[str, dict[str, str], bytes]


@dataclass
class Program:
    """An HTTP server that gives `answer`, or hangs up without one."""

    answer: bytes | None = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    told: list[Told] = field(default_factory=list)
    holds: asyncio.Event = field(default_factory=asyncio.Event)
    holding: bool = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        self.told.append((head[0], headers, await reader.readexactly(int(headers.get("content-length", 0)))))
        if self.holding:
            await self.holds.wait()
        if self.answer is not None:
            writer.write(self.answer)
        writer.close()


class Rig:
    def __init__(self, home: Path) -> None:
        self.paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        layout.create(self.paths, root=False)
        self.store = open_in(self.paths)
        self.idle: list[str] = []
        self.registry = Registry(self.store)
        self.invoking = Invoking(self.registry, lambda name: home / name, self.idle.append)
        self.home = home

    def service(self, spec: dict[str, Any], **given: Any) -> None:
        self.store.releases.add(release("web", 1, spec=spec))
        add_service(self.store, service_row("web", **given))
        self.registry.reload()

    def add(self, name: str, **given: Any) -> None:
        with self.registry.transaction():
            self.registry.put_instance(instance(name, **given))

    async def invoker(self, name: str, program: Program, **given: Any) -> None:
        await asyncio.start_unix_server(program.talk, self.home / name)
        self.add(name, pattern="function", **given)

    async def web(self, name: str, program: Program) -> None:
        server = await asyncio.start_server(program.talk, "127.0.0.1", 0)
        self.add(name, port=server.sockets[0].getsockname()[1])

    async def invoke(self, release: int | None = None) -> Answer:
        return await self.invoking.invoke("shop", "web", EVENT, release)


def rigged(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    def wrapped() -> None:
        async def run() -> None:
            with tempfile.TemporaryDirectory(prefix="ff-") as home:
                rig = Rig(Path(home))
                try:
                    await test(rig)
                finally:
                    await rig.invoking.close()
                    rig.store.database.close()

        asyncio.run(run())

    wrapped.__name__ = test.__name__
    return wrapped


@rigged
async def test_a_function_has_it_from_its_invoker(rig: Rig) -> None:
    rig.service(HANDLER)
    program = Program(b"HTTP/1.1 200 OK\r\nX-Amz-Function-Error: Unhandled\r\nContent-Length: 2\r\n\r\n{}")
    await rig.invoker("a", program)
    assert await rig.invoke() == Answer(200, b"{}", "Unhandled")
    [(line, headers, body)] = program.told
    assert line == "POST /invoke HTTP/1.1" and (headers["x-request-id"], headers["x-tail"]) == ("0-1", "1")
    assert body == EVENT.payload and rig.idle == ["a"] and rig.invoking.in_flight("a") == 0


@rigged
async def test_whoever_has_the_least_to_do(rig: Rig) -> None:
    rig.service(HANDLER)
    programs = [Program(holding=True), Program(holding=True)]
    for name, program in zip("ab", programs, strict=True):
        await rig.invoker(name, program)
    await rig.invoker("c", Program(), release=2, state="draining")
    asked = [asyncio.create_task(rig.invoke()) for _ in range(4)]
    while sum(len(program.told) for program in programs) < 4:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert [len(program.told) for program in programs] == [2, 2] and rig.invoking.in_flight("a") == 2
    for program in programs:
        program.holds.set()
    assert {answer.payload for answer in await asyncio.gather(*asked)} == {b"ok"} and sorted(rig.idle) == ["a", "b"]


@rigged
async def test_one_that_is_not_there_is_passed_over(rig: Rig) -> None:
    rig.service(HANDLER)
    rig.add("a", pattern="function")
    program = Program()
    await rig.invoker("b", program)
    assert (await rig.invoke()).payload == b"ok" and len(program.told) == 1


@rigged
async def test_what_began_is_not_begun_again(rig: Rig) -> None:
    """Whoever asked decides whether the event may be handled twice."""
    rig.service(HANDLER)
    dies, other = Program(None), Program()
    await rig.invoker("a", dies)
    await rig.invoker("b", other)
    with pytest.raises(WorldError, match="cannot tell how the event of web ended: a, which had it, is gone"):
        await rig.invoke()
    assert (len(dies.told), len(other.told)) == (1, 0)


@rigged
async def test_a_handler_elsewhere_is_behind_a_server_of_ours(rig: Rig) -> None:
    rig.service(HANDLER)
    program = Program(b"HTTP/1.1 200 OK\r\nX-Amz-Log-Result: bG9n\r\nContent-Length: 1\r\n\r\n7")
    await rig.web("a", program)
    assert await rig.invoke() == Answer(200, b"7", log="bG9n")
    [(line, headers, _)] = program.told
    assert line == "POST /2015-03-31/functions/function/invocations HTTP/1.1"
    assert (headers["x-amz-client-context"], headers["x-amz-log-type"]) == ("eyJjIjogMn0=", "Tail")


@pytest.mark.parametrize(
    ("status", "expected"),
    [("204 x", (200, "")), ("429 x", (429, "")), ("503 x", (503, "")), ("500 x", (200, "Unhandled"))],
)
def test_a_web_service_has_it_as_a_post(status: str, expected: tuple[int, str]) -> None:
    async def test(rig: Rig) -> None:
        rig.service(WEB)
        program = Program(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await rig.web("a", program)
        answer = await rig.invoke()
        assert (answer.status, answer.error) == expected
        assert program.told[0][0] == "POST /events HTTP/1.1"
        assert not answer.error or b'"errorType": "Http.500"' in answer.payload

    rigged(test)()


@rigged
async def test_it_waits_for_one_that_is_starting(rig: Rig) -> None:
    rig.service(HANDLER)
    program = Program()
    await rig.invoker("a", program, state="starting")
    asked = asyncio.create_task(rig.invoke())
    await asyncio.sleep(0)
    rig.add("a", pattern="function", state="ready")
    assert (await asked).payload == b"ok"


@pytest.mark.parametrize(
    ("spec", "row", "there", "error", "said"),
    [
        (HANDLER, {}, None, WorldError, "no instance of it is ready"),
        (HANDLER, {}, {"state": "starting"}, WorldError, "no instance of it is ready"),
        (HANDLER, {}, {"pattern": "function"}, WorldError, "no instance of it is ready"),  # nobody is at its socket
        (HANDLER, {"stopped": True}, None, WorldError, "it is stopped"),
        (HANDLER, {"removed": True}, None, NotFoundError, "app shop has no such service"),
        ({"source": "./x", "run": "x", "job": {}}, {}, None, UserError, "it is a job"),
        ({"source": "./x", "run": "x"}, {}, {"port": None}, UserError, "neither a handler nor a port"),
    ],
)
def test_what_cannot_be_invoked(
    spec: dict[str, Any], row: dict[str, Any], there: dict[str, Any] | None, error: type[Exception], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "READY_SECONDS", 0.01)

    async def test(rig: Rig) -> None:
        rig.service(spec, **row)
        if there is not None:
            rig.add("a", **there)
        with pytest.raises(error, match=said):
            await rig.invoke()
        with pytest.raises(NotFoundError):
            await rig.invoking.invoke("shop", "other", EVENT)

    rigged(test)()


@rigged
async def test_what_an_invoker_says_of_itself(rig: Rig) -> None:
    said = b'{"sandboxes": {"busy": 2}, "waiting": 1}'
    program = Program(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + said)
    await rig.invoker("a", program)
    assert await rig.invoking.state("a") == {"sandboxes": {"busy": 2}, "waiting": 1}
    assert await rig.invoking.state("gone") is None


@rigged
async def test_connections_go_with_their_invoker(rig: Rig) -> None:
    rig.service(HANDLER)
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readexactly(len(EVENT.payload))
        if not await reader.read():
            ended.set()

    program = Program()
    program.talk = talk  # type: ignore[method-assign]
    await rig.invoker("a", program)
    assert (await rig.invoke()).payload == b"ok" and not ended.is_set()
    rig.invoking.forget("a")
    await asyncio.wait_for(ended.wait(), 60)


@rigged
async def test_a_release_that_does_not_run(rig: Rig) -> None:
    rig.service(HANDLER)
    rig.store.releases.add(release("web", 2, spec=HANDLER))
    await rig.invoker("a", Program())
    with pytest.raises(NotFoundError, match="cannot invoke release 2 of web"):
        await rig.invoke(2)
    assert (await rig.invoke(1)).payload == b"ok"
