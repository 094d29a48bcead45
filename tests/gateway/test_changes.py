"""Nothing is lost while the gateway changes: load runs through a real HAProxy, and every request is counted."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from unittest.mock import patch

import pytest

from fourfold.errors import UserError, WorldError
from fourfold.gateway.files import Folder
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule, Server
from fourfold.gateway.program import machine
from fourfold.gateway.render import render
from fourfold.gateway.runtime import Processes
from fourfold.gateway.socket import ask
from tests.gateway.rig import Client, Load, Program, Rig, echo, get, until, websocket, with_rig
from tests.support.ports import free_port


async def drained(rig: Rig, name: str) -> None:
    async def idle() -> bool:
        try:
            return not (await rig.gateway.in_flight()).get(name, 0)
        except WorldError:  # a worker ended while it was asked: not known this time
            return False

    await until(idle)


async def counted(rig: Rig, name: str, count: int) -> None:
    async def reached() -> bool:
        return (await rig.gateway.in_flight()).get(name, 0) == count

    await until(reached)


def draining(server: Server) -> Server:
    return replace(server, draining=True)


@with_rig
async def test_rolling_over_servers_loses_nothing_and_needs_no_reload(rig: Rig) -> None:
    old = await rig.program("shop.web-0-a")
    await rig.start(rig.config([old.server]))
    async with Load(rig.port).running() as load:
        for number in range(1, 6):
            await load.more()
            new = await rig.program(f"shop.web-{number}-a")
            assert not await rig.gateway.apply(rig.config([old.server, new.server]))
            assert not await rig.gateway.apply(rig.config([draining(old.server), new.server]))
            await drained(rig, old.name)
            before = old.requests
            await load.more()
            assert old.requests == before
            await old.stop()
            assert not await rig.gateway.apply(rig.config([new.server]))
            old = new
        await load.more()
    assert load.failures == []


@with_rig
async def test_reloads_lose_nothing(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    async with Load(rig.port).running() as load:
        for number in range(5):
            await load.more()
            rules = [Rule("shop.web"), Rule("shop.web", path=f"/{number}")]
            assert await rig.gateway.apply(rig.config([web.server], rules))
        await load.more()
    assert load.failures == []


@with_rig
async def test_a_roll_right_after_a_reload_loses_nothing(rig: Rig) -> None:
    """A client that the old worker left idle asks once more, when the server that this worker knows should be gone."""
    old, new = await rig.program("shop.web-1-a"), await rig.program("shop.web-2-a")
    await rig.start(rig.config([old.server]))
    client = Client(rig.port)
    assert (await client.ask()).seen["instance"] == old.name
    await rig.gateway.apply(rig.config([old.server], [Rule("shop.web"), Rule("shop.web", "x.test")]))
    await rig.gateway.apply(rig.config([draining(old.server), new.server]))
    assert (await rig.gateway.in_flight())[old.name] == 1
    assert (await client.ask()).seen["instance"] == old.name
    await drained(rig, old.name)
    await old.stop()
    await rig.gateway.apply(rig.config([new.server]))
    assert (await client.ask()).seen["instance"] == new.name
    await client.close()


@with_rig
async def test_a_slow_request_outlives_a_reload_and_is_counted_on_the_old_worker(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    slow = asyncio.create_task(get(rig.port, "/held"))
    await counted(rig, web.name, 1)
    assert await rig.gateway.apply(rig.config([web.server], [Rule("shop.web"), Rule("shop.web", "x.test")]))
    assert await rig.gateway.apply(rig.config([web.server]))  # twice: workers of two generations are counted
    assert (await rig.gateway.in_flight())[web.name] >= 1
    assert not await rig.gateway.apply(rig.config([draining(web.server)]))
    assert (await get(rig.port)).status == 503
    assert (await rig.gateway.in_flight())[web.name] >= 1
    web.release.set()
    assert (await slow).status == 200
    await drained(rig, web.name)


@with_rig
async def test_once_a_reload_is_done_the_old_worker_takes_no_connection(rig: Rig) -> None:
    """It learns by a signal that it is to stop, which may take a while on a busy machine."""
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    slow = asyncio.create_task(get(rig.port, "/held"))
    await counted(rig, web.name, 1)
    processes, ask_worker = await rig.gateway._processes(), rig.gateway._ask_worker
    told: list[str] = []

    async def late(pid: int, *commands: str) -> str:
        answer = await ask_worker(pid, *commands)
        if processes is None or pid != processes.current or commands != ("show info",):
            return answer
        told.append(answer if len(told) > 2 else answer.replace("Stopping: 1", "Stopping: 0"))
        return told[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rig.gateway, "_ask_worker", late)
        assert await rig.gateway.apply(rig.config([web.server], [Rule("shop.web"), Rule("shop.web", "x.test")]))
    assert len(told) > 3 and "Stopping: 1" in told[-1]
    web.release.set()
    assert (await slow).status == 200


@with_rig
async def test_a_request_of_four_seconds_outlives_a_reload(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    slow = asyncio.create_task(get(rig.port, "/slow/4"))
    await counted(rig, web.name, 1)
    await rig.gateway.apply(rig.config([web.server], [Rule("shop.web"), Rule("shop.web", "x.test")]))
    assert (await slow).status == 200


@with_rig
async def test_a_websocket_outlives_a_reload_until_hard_stop(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server], hard_stop_after=8))
    streams = await websocket(rig.port)
    await counted(rig, web.name, 1)
    await rig.gateway.apply(rig.config([web.server], [Rule("shop.web"), Rule("shop.web", "x.test")], 8))
    await rig.gateway.apply(rig.config([draining(web.server)], [Rule("shop.web"), Rule("shop.web", "x.test")], 8))
    assert (await rig.gateway.in_flight())[web.name] >= 1
    assert await echo(streams, b"still here") == b"still here"
    await drained(rig, web.name)
    assert await asyncio.wait_for(streams[0].read(), 60) == b""
    streams[1].close()


@with_rig
async def test_a_removed_server_with_requests_in_flight_is_deleted_later(rig: Rig) -> None:
    web, other = await rig.program("shop.web-1-a"), await rig.program("shop.web-1-b")
    await rig.start(rig.config([web.server]))
    slow = asyncio.create_task(get(rig.port, "/held"))
    await counted(rig, web.name, 1)
    await rig.gateway.apply(rig.config([other.server]))
    assert (await get(rig.port)).seen["instance"] == other.name
    await drained(rig, other.name)  # it is counted a little longer than until its answer is there
    assert (await rig.gateway.in_flight()) == {web.name: 1, other.name: 0} and rig.gateway.leaves
    web.release.set()
    assert (await slow).status == 200

    async def deleted() -> bool:
        await rig.gateway.apply(rig.config([other.server]))
        return not rig.gateway.leaves and dict(await rig.gateway.in_flight()) == {other.name: 0}

    await until(deleted)


@with_rig
async def test_a_drained_server_can_come_back_and_move(rig: Rig) -> None:
    web, other = await rig.program("shop.web-1-a"), await rig.program("shop.web-1-b")
    await rig.start(rig.config([web.server]))
    await rig.gateway.apply(rig.config([draining(web.server)]))
    assert (await get(rig.port)).status == 503
    await rig.gateway.apply(rig.config([web.server]))
    assert (await get(rig.port)).seen["instance"] == web.name
    await rig.gateway.apply(rig.config([replace(web.server, port=other.port)]))
    assert (await get(rig.port)).seen["instance"] == other.name


@with_rig
async def test_killed_haproxy_serves_again_from_the_file(rig: Rig) -> None:
    """The file holds the servers that came through the runtime API."""
    one, two = await rig.program("shop.web-1-a"), await rig.program("shop.web-1-b")
    await rig.start(rig.config([one.server]))
    await rig.gateway.apply(rig.config([two.server]))
    rig.kill()
    assert not await rig.gateway.ready()
    with pytest.raises(WorldError):  # not "none": nobody has counted
        await rig.gateway.in_flight()
    with pytest.raises(OSError):
        await get(rig.port)
    assert not await rig.gateway.apply(rig.config([one.server, two.server]))  # down: the file is left
    await rig.launch()
    assert {str((await get(rig.port)).seen["instance"]) for _ in range(4)} == {one.name, two.name}
    assert not await rig.gateway.apply(rig.config([one.server]))
    assert (await get(rig.port)).seen["instance"] == one.name


@with_rig
async def test_a_worker_that_does_not_answer_leaves_the_count_unknown(rig: Rig) -> None:
    """`show proc` still lists it, but it is gone: its requests are not counted as none, nor those of the others."""
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    slow = asyncio.create_task(get(rig.port, "/held"))
    await counted(rig, web.name, 1)
    processes = await rig.gateway._processes()
    assert processes
    dead = replace(processes, old=(2**22 + 1,))  # above the kernel's highest pid

    async def told() -> Processes:
        return dead

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(rig.gateway, "_processes", told)
    with pytest.raises(WorldError, match="no answer from worker 4194305"):
        await rig.gateway.in_flight()
    monkeypatch.undo()
    assert await rig.gateway.in_flight() == {web.name: 1}
    web.release.set()
    await slow


@with_rig
async def test_servers_follow_even_if_the_rest_cannot_be_applied(rig: Rig) -> None:
    one, two = await rig.program("shop.web-1-a"), await rig.program("shop.web-1-b")
    assert not await rig.gateway.set_servers(())
    await rig.start(rig.config([one.server]))
    wanted = rig.config([draining(one.server), two.server], [Rule("shop.web"), Rule("shop.web", "a.test")])
    bad = replace(wanted, frontends=(*wanted.frontends, Frontend(f":{rig.port}", (Rule("shop.new"),))),
                  backends=(*wanted.backends, Backend("shop.new", (Server("new", "127.0.0.1", 1),))))  # fmt: skip
    with pytest.raises(UserError, match="has it"):
        await rig.gateway.apply(bad)
    assert await rig.gateway.set_servers(bad.backends)
    assert (await get(rig.port)).seen["instance"] == two.name


@with_rig
async def test_the_first_start_finds_a_file(rig: Rig) -> None:
    await rig.launch()
    assert (rig.gateway.launch("g").limits.cpu_weight or 0) > 100  # before services that take all the CPU there is
    assert await rig.gateway.apply(rig.config([(await rig.program()).server]))
    assert (await get(rig.port)).status == 200


@with_rig
async def test_a_new_daemon_goes_by_what_is_live(rig: Rig) -> None:
    one, two = await rig.program("shop.web-1-a"), await rig.program("shop.web-1-b")
    await rig.start(rig.config([one.server]))
    rig.gateway = Gateway(rig.paths)
    assert not await rig.gateway.apply(rig.config([one.server]))
    assert not await rig.gateway.apply(rig.config([two.server]))
    assert (await get(rig.port)).seen["instance"] == two.name
    assert await Gateway(rig.paths).apply(rig.config([two.server], [Rule("shop.web", "only.test")]))
    assert (await get(rig.port)).status == 404


@with_rig
async def test_what_the_daemon_wrote_but_did_not_apply_is_applied_next(rig: Rig) -> None:
    """It died between writing the file and the reload: the live fingerprint tells, not the file."""
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    changed = rig.config([web.server], [Rule("shop.web", "only.test")])
    Folder(rig.paths.gateway).write(render(changed, machine()), {})
    assert (await get(rig.port)).status == 200
    assert await rig.gateway.apply(changed)
    assert (await get(rig.port)).status == 404


@with_rig
async def test_counters_go_on_over_reloads_and_restarts(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))

    async def requests(count: int) -> None:
        """HAProxy counts one when all of it is over: a little later than its answer is there."""

        async def told() -> bool:
            return count == next(stats.requests for stats in await rig.gateway.stats() if stats.route == "/")

        await until(told)

    for _ in range(3):
        await get(rig.port)
    await requests(3)
    await rig.gateway.apply(rig.config([web.server], [Rule("shop.web"), Rule("shop.web", "x.test")]))
    await get(rig.port)
    await requests(4)
    rig.kill()
    await requests(4)
    await rig.launch()
    await get(rig.port)
    await requests(5)
    await rig.gateway.apply(rig.config([], [Rule("shop.web"), Rule("shop.web", "x.test")]))
    await get(rig.port)
    await requests(6)

    async def over() -> bool:
        stats = next(stats for stats in await rig.gateway.stats() if stats.route == "/")
        assert (stats.requests, stats.errors_5xx) == (6, 1) and stats.bytes_in > 0 and stats.bytes_out > 0
        return stats.in_flight == 0

    await until(over)


@with_rig
async def test_every_route_is_counted_by_itself_and_by_the_next_daemon_too(rig: Rig) -> None:
    web = await rig.program()
    rules = [Rule("shop.web"), Rule("shop.web", path="/api", methods=("GET", "POST"), strip=True)]
    await rig.start(rig.config([web.server], rules))

    async def are_counted(counts: dict[str, int]) -> None:
        async def told() -> bool:
            return counts == {stats.route: stats.requests for stats in await rig.gateway.stats()}

        await until(told)

    for target in ("/", "/api/x", "/api/y"):
        assert (await get(rig.port, target)).status == 200
    for _ in range(4):
        assert (await get(rig.internal)).status == 200
    await are_counted({"/": 1, "GET|POST /api": 2, "": 4})
    await rig.gateway.keep_stats()
    rig.gateway = Gateway(rig.paths)  # another daemon
    await are_counted({"/": 1, "GET|POST /api": 2, "": 4})
    await get(rig.port, "/api")
    rig.kill()
    await rig.launch()
    await get(rig.port, "/api")
    await are_counted({"/": 1, "GET|POST /api": 3, "": 4})  # one came after the last reading
    rules.insert(0, Rule("shop.web", "a.test", "/a"))  # its backends have other names now
    assert await rig.gateway.apply(rig.config([web.server], rules))
    await get(rig.port)
    await are_counted({"/": 2, "GET|POST /api": 3, "": 4, "a.test/a": 0})
    await rig.gateway.apply(rig.config([draining(web.server)], rules))
    assert {(await get(rig.port, target)).status for target in ("/", "/api")} == {503}
    assert (await get(rig.internal)).status == 503
    await rig.gateway.keep_stats()
    await rig.gateway.clear()
    assert await Gateway(rig.paths).stats() == []


@with_rig
async def test_what_each_instance_answered_and_failed_to(rig: Rig) -> None:
    one, two = await rig.program(), await rig.program("shop.web-1-b")
    rules = [Rule("shop.web"), Rule("shop.web", path="/api")]
    await rig.start(rig.config([one.server, two.server], rules))
    for target in ("/", "/", "/api/x", "/api/x"):
        assert (await get(rig.port, target)).status == 200

    async def told() -> bool:
        served = await rig.gateway.served()
        return {name: each.requests for name, each in served.items()} == {one.name: 2, two.name: 2}

    await until(told)
    await rig.gateway.apply(rig.config([two.server], rules[:1]))
    assert (await get(rig.port, "/die")).status == 502

    async def kept() -> bool:
        await rig.gateway.keep_stats()
        again = Gateway(rig.paths).last_served
        assert one.name not in again
        return (again[two.name].requests, again[two.name].errors_5xx, again[two.name].in_flight) == (3, 1, 0)

    await until(kept)


@with_rig
async def test_five_hundred_servers_in_one_apply(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    many = [web.server, *(Server(f"shop.web-2-{number:03}", "127.0.0.1", free_port()) for number in range(499))]
    with patch("fourfold.gateway.haproxy.ask", side_effect=ask) as asked:
        assert not await rig.gateway.apply(rig.config(many))
        assert len(await rig.gateway.in_flight()) == 500
        assert not await rig.gateway.apply(rig.config([web.server]))
        assert list(await rig.gateway.in_flight()) == [web.name]
    assert asked.call_count < 50  # the 2,000 commands go many to a line: one after the other takes half a minute
    assert (await get(rig.port)).status == 200


@with_rig
async def test_applies_at_the_same_time_come_one_after_the_other(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    configs = [rig.config([web.server], [Rule("shop.web", f"h{number}.test")]) for number in range(4)]
    await asyncio.gather(*map(rig.gateway.apply, configs))
    assert (await Client(rig.port).ask(headers={"Host": "h3.test"})).status == 200
    assert not list(rig.paths.gateway.glob("check-*"))
    assert len(list(rig.paths.gateway.glob("*.map"))) == 2


@with_rig
async def test_a_reload_that_fails_leaves_the_old_configuration_in_use(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    text = (rig.paths.gateway / "haproxy.cfg").read_text()
    wanted = rig.config([web.server], [Rule("shop.web", "only.test")])
    thief = await Program("thief").start()

    async def check(*_: object) -> None:
        """Nothing is found; the address is taken afterwards."""

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(rig.gateway, "_check", check)
    taken = GatewayConfig(wanted.frontends, (*wanted.backends, Backend("shop.new", (), thief.port)))
    with pytest.raises(WorldError, match="cannot reload the gateway"):
        await rig.gateway.apply(taken)
    await thief.stop()
    assert (rig.paths.gateway / "haproxy.cfg").read_text() == text
    assert (await get(rig.port)).status == 200
    monkeypatch.undo()
    assert not await rig.gateway.apply(rig.config([web.server]))
    assert await rig.gateway.apply(wanted)
    assert (await get(rig.port)).status == 404


@with_rig
async def test_usr1_ends_it_when_its_requests_have_ended(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    slow = asyncio.create_task(get(rig.port, "/held"))
    await counted(rig, web.name, 1)
    assert rig.process
    rig.process.send_signal(getattr(signal, "SIG" + rig.gateway.launch("g").stop.signal))
    await asyncio.sleep(0)
    web.release.set()
    assert (await slow).status == 200
    assert await asyncio.to_thread(rig.process.wait, 30) == 0


@with_rig
async def test_servers_added_while_running_keep_their_connections(rig: Rig) -> None:
    """HAProxy gives a server from the runtime API no pool of idle connections unless it is told to."""
    one, two = await rig.program("shop.web-1-a"), await rig.program("shop.web-1-b")
    await rig.start(rig.config([one.server]))
    await rig.gateway.apply(rig.config([two.server]))
    client = Client(rig.port)
    for _ in range(20):
        assert (await client.ask()).seen["instance"] == two.name
    assert two.connections <= 10  # one for each thread, more where time passes, but not one for each request
    await client.close()


@with_rig
async def test_a_gateway_with_nothing_to_serve_runs_and_takes_its_first_service(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(GatewayConfig())
    assert await rig.gateway.stats() == []
    assert await rig.gateway.apply(rig.config([web.server]))
    assert (await get(rig.port)).status == 200
    assert await rig.gateway.apply(GatewayConfig())
    assert await rig.gateway.ready()
    assert await rig.gateway.in_flight() == {}


@with_rig
async def test_weights_hold_at_once_and_over_reloads(rig: Rig) -> None:
    old, new = await rig.program("shop.web-1-a"), await rig.program("shop.web-2-a")
    rules = [Rule("shop.web"), Rule("shop.web", path="/more")]

    def weighed(of_old: int, of_new: int, more: bool = False) -> GatewayConfig:
        servers = [replace(old.server, weight=of_old), replace(new.server, weight=of_new)]
        return rig.config(servers, rules if more else rules[:1])

    async def part() -> int:
        """How many of 40 the new one gets."""
        before, client = new.requests, Client(rig.port)
        for _ in range(40):
            assert (await client.ask()).status == 200
        await client.close()
        return new.requests - before

    await rig.start(weighed(1, 0))
    assert await part() == 0
    for of_old, of_new, more, expected in ((3, 1, False, 10), (1, 3, False, 30), (1, 3, True, 30), (0, 1, True, 40)):
        assert await rig.gateway.apply(weighed(of_old, of_new, more)) == (more and of_old > 0)
        assert abs(await part() - expected) <= 1
