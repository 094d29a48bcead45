"""What a request meets on its way, through a real HAProxy."""

from __future__ import annotations

import asyncio

import pytest

from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule
from tests.gateway.rig import Client, Rig, echo, get, until, websocket, with_rig


def backends_of(config: GatewayConfig, *names: str) -> GatewayConfig:
    """The same with services that have no instance: their 503 tells which of them a request reached."""
    more = tuple(Backend(name) for name in names)
    return GatewayConfig(config.frontends, (*config.backends, *more), config.hard_stop_after)


@with_rig
async def test_forwarded_headers_are_ours_and_cannot_be_spoofed(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "X_Forwarded_For": "6.6.6.6",
        "x-forwarded_proto": "https",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-User": "root",
        "X-Real-IP": "6.6.6.6",
        "X-Real_IP": "6.6.6.6",
        "X_Real_IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "Proxy": "http://evil",
        "Connection": "X-Forwarded-For",
        "X-Mine": "kept",
    }
    answer = await Client(rig.port).ask("/a?b=1", headers={**lies, "Host": f"shop.test:{rig.port}"})
    headers = answer.seen["headers"]
    assert isinstance(headers, dict)
    assert "6.6.6.6" not in headers.values()
    kept = {name: value for name, value in headers.items() if name.startswith(("x-", "x_"))}
    del kept["x-request-id"]
    assert kept == {
        "x-mine": "kept",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-port": str(rig.port),
        "x-forwarded-host": f"shop.test:{rig.port}",
    }
    assert not {"forwarded", "proxy"} & headers.keys()
    assert "forwarded" not in headers.get("connection", "").lower()
    assert answer.seen["target"] == "/a?b=1"


@with_rig
async def test_only_websockets_make_a_tunnel(rig: Rig) -> None:
    """Any other upgrade, and CONNECT, would carry requests past our routes and headers."""
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    for port in (rig.port, rig.internal):
        for upgrade in ({"Upgrade": "h2c", "Connection": "Upgrade"}, {"Upgrade": "websocket"}):
            answer = await Client(port).ask("/", headers={**upgrade, "Host": "shop.test"})
            assert isinstance(headers := answer.seen["headers"], dict)
            assert not {"upgrade", "connection"} & headers.keys()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 10)).split()[1] == b"405"
        writer.close()


@with_rig
async def test_the_internal_address_keeps_what_services_say_about_the_client(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    told = await get(rig.internal, x_forwarded_for="9.9.9.9", x_forwarded_proto="https")
    assert isinstance(headers := told.seen["headers"], dict)
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("9.9.9.9", "https")
    alone = await get(rig.internal)
    assert isinstance(headers := alone.seen["headers"], dict)
    assert headers["x-forwarded-for"] == "127.0.0.1"


@with_rig
async def test_strip_rewrites_the_path_and_keeps_the_query(rig: Rig) -> None:
    web = await rig.program()
    rules = [Rule("shop.web", path="/c.t+(x)", strip=True), Rule("shop.web", path="/plain")]
    await rig.start(rig.config([web.server], rules))
    for sent, seen in {
        "/c.t+(x)": "/",
        "/c.t+(x)/": "/",
        "/c.t+(x)/y?z=/c.t+(x)": "/y?z=/c.t+(x)",
        "/c.t+(x)//evil.example": "/evil.example",
        "/plain/x": "/plain/x",
    }.items():
        answer = await get(rig.port, sent)
        assert answer.seen["target"] == seen
        assert isinstance(headers := answer.seen["headers"], dict)
        assert headers.get("x-forwarded-prefix") == (None if "plain" in sent else "/c.t+(x)")
    assert (await get(rig.port, "/cxt+(x)/y")).status == 404


@with_rig
async def test_hosts_paths_and_methods_choose_the_service(rig: Rig) -> None:
    rules = [
        Rule("a.any"),
        Rule("a.api", path="/api"),
        Rule("a.write", path="/api", methods=("POST", "PUT")),
        Rule("a.host", host="one.localhost"),
        Rule("a.wild", host="*.localhost"),
        Rule("a.deep", host="*.localhost", path="/deep/er"),
    ]
    names = ("a.any", "a.api", "a.write", "a.host", "a.wild", "a.deep")
    await rig.start(backends_of(rig.config(rules=rules), *names))
    for host, method, path, expected in [
        ("x.test", "GET", "/", "a.any"),
        ("x.test", "GET", "/apiary", "a.any"),
        ("x.test", "GET", "/api/x", "a.api"),
        ("x.test", "POST", "/api?q", "a.write"),
        (f"ONE.localhost:{rig.port}", "GET", "/", "a.host"),
        ("one.localhost.", "GET", "/", "a.host"),
        ("one.localhost", "GET", "/deep/er/x", "a.deep"),
        ("two.localhost", "GET", "/deep", "a.wild"),
        ("two.localhost", "PUT", "/api", "a.write"),
        ("a.two.localhost", "GET", "/", "a.any"),
        ("[::1]:80", "GET", "/", "a.any"),
    ]:
        answer = await Client(rig.port).ask(path, method, {"Host": host})
        assert (answer.status, answer.body.decode().split()[0]) == (503, expected), (host, method, path)


@with_rig
async def test_no_route_is_a_404_that_names_no_routes(rig: Rig) -> None:
    await rig.start(rig.config(rules=[Rule("shop.web", "shop.test", "/secret-path")]))
    answer = await get(rig.port, "/")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/plain")
    assert answer.body == b"no route matches this host, path and method\n"


@with_rig
async def test_no_ready_instance_is_a_503_that_names_the_service(rig: Rig) -> None:
    await rig.start(rig.config())
    plain = await get(rig.port)
    assert (plain.status, plain.headers["content-type"], plain.headers["retry-after"]) == (503, "text/plain", "2")
    assert b"shop.web is not ready" in plain.body


@with_rig
async def test_events_are_not_held_back(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"data: 1\n\n"), 10)
    web.release.set()
    await asyncio.wait_for(reader.readuntil(b"data: 2\n\n"), 10)
    writer.close()


@with_rig
async def test_websockets_pass(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    streams = await websocket(rig.port)
    assert await echo(streams, b"\x81\x05hello") == b"\x81\x05hello"
    streams[1].close()


@with_rig
async def test_a_route_has_its_own_timeout(rig: Rig) -> None:
    web = await rig.program()
    rules = [Rule("shop.web", path="/held", timeout=0.2), Rule("shop.web", timeout=30)]
    await rig.start(rig.config([web.server], rules))
    answer = await get(rig.port, "/held")
    assert (answer.status, answer.body) == (504, b"shop.web did not answer in time\n")
    assert (await get(rig.port, "/slow/0.5")).status == 200
    assert web.requests <= 2  # what reached the program was not sent again


@with_rig
async def test_a_server_that_refuses_connections_costs_no_request(rig: Rig) -> None:
    web, dead = await rig.program("shop.web-1-a"), await rig.program("shop.web-1-b")
    await dead.stop()
    await rig.start(rig.config([web.server, dead.server]))
    for _ in range(6):
        assert (await get(rig.port, method="POST", body=b"x")).status == 200


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
def test_what_may_have_been_done_is_done_once(method: str) -> None:
    """A request that kills a program would else kill every instance of it, one after the other."""

    @with_rig
    async def run(rig: Rig) -> None:
        web = await rig.program()
        await rig.start(rig.config([web.server]))
        assert (await get(rig.port, "/die", method=method)).status == 502
        assert web.requests == 1

    run()


@with_rig
async def test_the_access_log_is_one_json_line_for_each_request(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    assert (await Client(rig.port).ask("/a%22b?secret=1", headers={"Host": 'lo"g.test:80'})).status == 200

    async def logged() -> bool:
        return bool(rig.logged)

    await until(logged)
    (line,) = rig.logged
    wanted = {"host": 'lo"g.test:80', "method": "GET", "path": "/a%22b", "backend": "shop.web", "server": web.name}
    assert wanted.items() <= line.items()
    assert line["status"] == 200
    assert line["bytes_out"] > 0
    assert {"ms", "bytes_in", "bytes_out", "client", "end"} <= line.keys()


@with_rig
async def test_every_address_is_listened_on(rig: Rig) -> None:
    web = await rig.program()
    config = rig.config([web.server])
    everywhere = GatewayConfig((Frontend(f":{rig.port}", (Rule("shop.web"),)),), config.backends)
    await rig.start(everywhere)
    assert (await Client(rig.port, "127.0.0.2").ask()).status == 200
