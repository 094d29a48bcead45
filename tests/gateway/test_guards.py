"""What stands between a route and its service, and how a request is known again, through a real HAProxy."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import replace

from fourfold.control.routing.passwords import digest
from fourfold.gateway.model import Auth, Backend, Frontend, GatewayConfig, Limits, Maintenance, Rule, Server
from tests.gateway.rig import Answer, Client, Program, Rig, get, read_head, until, with_rig

KEY = "000102030405060708090a0b0c0d0e0f"


def hashed(**users: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, digest(bytes.fromhex(KEY), name, password)) for name, password in users.items())


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def told(answer: Answer) -> dict[str, str]:
    """Header fields that the service saw."""
    headers = answer.seen["headers"]
    assert isinstance(headers, dict)
    return headers


@with_rig
async def test_every_request_has_an_id_that_only_services_pass_on(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server], [Rule("shop.web", path="/shop")]))
    given = [
        await get(rig.port, "/shop"),
        await get(rig.port, "/shop", x_request_id="mine"),
        await get(rig.internal, "/shop"),
        await get(rig.internal, "/shop", x_request_id='"x": 1'),
        await get(rig.internal, "/shop", x_request_id="x" * 129),
        await get(rig.internal, "/shop", x_request_id="from/another:1"),
    ]
    ids = [answer.headers["x-request-id"] for answer in given]
    assert ids == [told(answer)["x-request-id"] for answer in given]
    assert all(re.fullmatch(r"[0-9a-f-]{36}", each) for each in ids[:-1])
    assert ids[-1] == "from/another:1"
    assert len(set(ids)) == len(ids)
    lost = await get(rig.port, "/elsewhere", x_request_id="mine")
    assert lost.status == 404

    async def logged() -> bool:
        return sorted(line["id"] for line in rig.logged) == sorted([*ids, lost.headers["x-request-id"]])

    await until(logged)


def cookie(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


async def who(rig: Rig, cookie: str) -> str:
    answer = await get(rig.port, cookie=cookie)
    return str(answer.seen["instance"])


def sticky(rig: Rig, *servers: Server) -> GatewayConfig:
    front = Frontend(f"127.0.0.1:{rig.port}", (Rule("shop.web", sticky=True),))
    return GatewayConfig((front,), (Backend("shop.web", servers, rig.internal, sticky=True),))


@with_rig
async def test_sticky_clients_stay_until_their_server_drains_whatever_else_changes(rig: Rig) -> None:
    one, two, three = [await rig.program(f"shop.web-1-{name}") for name in "abc"]
    await rig.start(sticky(rig, one.server))
    first = await get(rig.port)
    assert "HttpOnly" in first.headers["set-cookie"]
    assert str(one.port) not in first.headers["set-cookie"]
    mine = cookie(first)
    # Servers that come without a reload, one that comes with it, another HAProxy: all are found by their cookies.
    assert not await rig.gateway.apply(sticky(rig, one.server, two.server))
    others = {str(answer.seen["instance"]): cookie(answer) for answer in [await get(rig.port) for _ in range(4)]}
    assert others.keys() == {one.name, two.name}
    assert others[one.name] == mine
    changed = Rule("shop.web", path="/other", sticky=True)
    config = sticky(rig, one.server, two.server, three.server)
    front = Frontend(config.frontends[0].listen, (*config.frontends[0].rules, changed))
    assert await rig.gateway.apply(GatewayConfig((front,), config.backends))
    for name, value in others.items():
        assert [await who(rig, value) for _ in range(3)] == [name] * 3
    assert cookie(await get(rig.port, "/other", cookie="x=y")).startswith("fourfold-shop.web=")
    rig.kill()
    await rig.launch()
    assert [await who(rig, mine) for _ in range(3)] == [one.name] * 3

    # One that drains ends what it has; its clients move on, and stay where they come to.
    before = one.requests
    slow = asyncio.create_task(get(rig.port, "/held", cookie=mine))

    async def arrived() -> bool:
        return one.requests > before

    await until(arrived)
    drains = Backend("shop.web", (*config.backends[0].servers[1:], one_draining(one)), rig.internal, sticky=True)
    assert not await rig.gateway.apply(GatewayConfig((front,), (drains,)))
    moved = await get(rig.port, cookie=mine)
    assert moved.seen["instance"] != one.name
    assert await who(rig, cookie(moved)) == moved.seen["instance"]
    assert (await rig.gateway.in_flight())[one.name] == 1
    one.release.set()
    assert (await slow).seen["instance"] == one.name


def one_draining(program: Program) -> Server:

    return replace(program.server, draining=True)


@with_rig
async def test_limits_by_client_and_by_route_refuse_and_count_and_let_everybody_else_pass(rig: Rig) -> None:
    web = await rig.program()
    rules = [
        Rule("shop.web", path="/free"),
        Rule("shop.web", path="/api", limits=Limits(rate=0.02, burst=3)),
        Rule("shop.web", path="/search", limits=Limits(rate=0.02, burst=2, shared=True)),
        Rule("shop.web", path="/upload", limits=Limits(body=1000)),
    ]
    await rig.start(rig.config([web.server], rules))
    answers = [await get(rig.port, "/api/x") for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "150"
    assert [(await get(rig.port, "/search")).status for _ in range(3)] == [200, 200, 429]
    assert {(await get(rig.port, "/free")).status for _ in range(9)} == {200}
    assert {(await get(rig.internal, "/api/x")).status for _ in range(9)} == {200}

    assert (await get(rig.port, "/upload", "POST", b"x" * 1000)).status == 200
    assert (await get(rig.port, "/upload", "POST", b"x" * 1001)).status == 413
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert " 411 " in (await read_head(reader))[0]
    writer.close()

    async def counted() -> bool:
        refused = {each.route: (each.refused, each.errors_4xx) for each in await rig.gateway.stats()}
        return refused == {"/free": (0, 0), "/api": (2, 2), "/search": (1, 1), "/upload": (2, 2), "": (0, 0)}

    await until(counted)
    # What is still to come of the body is cut off, and curl then knows of no answer: the log does.
    await http2_upload(rig, 3000)

    async def told() -> bool:
        return sorted(line["status"] for line in rig.logged if line["path"] == "/upload") == [200, 411, 411, 413]

    await until(told)
    assert (await get(rig.port, "/upload")).status == 200


async def http2_upload(rig: Rig, size: int) -> None:
    """A body whose length HTTP/2 does not say beforehand."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--http2-prior-knowledge", "-T", "-"),
        *("-X", "POST", "-H", "Content-Length:", f"http://127.0.0.1:{rig.port}/upload"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    await process.communicate(b"x" * size)


@with_rig
async def test_passwords_open_a_route_and_go_no_further(rig: Rig) -> None:
    web = await rig.program()
    staff = Auth("Shop staff", KEY, hashed(ann="s:e cret", zoe="pässword"))
    rules = [
        Rule("shop.web", path="/open"),
        Rule("shop.web", path="/staff", auth=staff),
        Rule("shop.web", path="/nobody", auth=Auth("shop", "00")),
    ]
    await rig.start(rig.config([web.server], rules))
    asked = await get(rig.port, "/staff")
    assert (asked.status, asked.headers["www-authenticate"]) == (401, 'Basic realm="Shop staff", charset="UTF-8"')
    for wrong in ("ann:", "ann:s", "ann", "", "zoe:s:e cret", "an:ns:e cret", "eve:" + hashed(ann="s:e cret")[0][1]):
        assert (await get(rig.port, "/staff", authorization=basic(wrong))).status == 401
    for wrong in ("Basic", "Basic !!!", "Bearer x", "Basic " + "x" * 5000, basic("ann:s:e cret")[:-2]):
        assert (await get(rig.port, "/staff", authorization=wrong)).status == 401
    assert (await get(rig.port, "/nobody", authorization=basic("ann:s:e cret"))).status == 401
    assert (await get(rig.port, "/nobody", authorization=basic(":"))).status == 401
    for name, password in {"ann": "s:e cret", "zoe": "pässword"}.items():
        headers = told(await get(rig.port, "/staff", authorization=basic(f"{name}:{password}"), x_forwarded_user="eve"))
        assert headers["x-forwarded-user"] == name
        assert "authorization" not in headers
    headers = told(await get(rig.port, "/open", authorization="Bearer x"))
    assert (headers["authorization"], headers.get("x-forwarded-user")) == ("Bearer x", None)
    assert told(await get(rig.internal, authorization="Bearer x"))["authorization"] == "Bearer x"
    kept = "".join(path.read_text() for path in rig.paths.gateway.iterdir() if path.is_file())
    assert "s:e cret" not in kept
    assert basic("ann:s:e cret")[6:] not in kept


@with_rig
async def test_no_other_spelling_of_a_path_comes_past_its_guard(rig: Rig) -> None:
    web = await rig.program()
    staff = Auth("shop", KEY, hashed(ann="secret"))
    rules = [
        Rule("shop.web"),
        Rule("shop.web", path="/admin/x%20y", auth=staff),
        Rule("shop.web", path="/upload", methods=("POST",), limits=Limits(body=10)),
        Rule("shop.web", host="one.test", path="/here", auth=staff),
        Rule("shop.web", host="*.wild.test"),
        Rule("shop.web", host="a.wild.test", path="/own", auth=staff),
        Rule("shop.web", host="b.wild.test"),
        Rule("shop.web", host="*.wild.test", path="/all", auth=staff),
    ]
    await rig.start(rig.config([web.server], rules))
    for path in (
        *("/%61dmin/x%20y", "/ADMIN/x%20y", "//admin/x%20y", "/admin//x%20y/z", "/a/../admin/x%20y", "/./admin/x%20y"),
        *("/admin;a=b/x%20y", "/admin/x%20y;a", "/admin\\x%20y", "/%2e%2e/x", "/x/..;/admin", "/admin%2fx%20y"),
        *("/admin/x%20y%23", "/admin/x%20y%3fz"),
        *("/%61dmin/x%20y/%zz", "/x/%"),
    ):
        assert (await get(rig.port, path)).status in (400, 401), path
    for path in (
        "/",
        "/administrator/x%20y",
        "/admin",
        "/a/admin/x%20y",
        "/x//y",
        "/50%25",
        "/a..b/...",
        "/upload",
        "/here",
    ):
        assert (await get(rig.port, path)).status == 200, path
    assert (await get(rig.port, "/%75pload")).status == 200
    assert (await get(rig.port, "/%75pload", "POST", b"x" * 20)).status == 400
    assert (await Client(rig.port).ask("/Here", headers={"Host": "one.test:80"})).status == 400
    assert (await Client(rig.port).ask("/Here", headers={"Host": "two.test"})).status == 200
    for host, path, status in (
        *(("a.wild.test", "/%6fwn", 400), ("a.wild.test", "/own", 401), ("b.wild.test", "/%61ll", 400)),
        *(("b.wild.test", "/all", 401), ("b.wild.test", "/own", 200), ("c.a.wild.test", "/%6fwn", 200)),
    ):
        assert (await Client(rig.port).ask(path, headers={"Host": host})).status == status, (host, path)
    assert (await get(rig.port, "/admin/x%20y", authorization=basic("ann:secret"))).status == 200


@with_rig
async def test_a_page_in_place_of_a_service_but_not_for_other_services_and_those_let_in(rig: Rig) -> None:
    web = await rig.program()
    page = Maintenance('<h1>Back at %[date] "noon"</h1>\n', "text/html; charset=utf-8", retry_after=900)
    config = rig.config([web.server])

    def during(what: Maintenance | None) -> GatewayConfig:
        return GatewayConfig(config.frontends, (Backend("shop.web", (web.server,), rig.internal, maintenance=what),))

    await rig.start(config)
    slow = asyncio.create_task(get(rig.port, "/held"))

    async def arrived() -> bool:
        return web.requests == 1

    await until(arrived)
    idle = Client(rig.port)
    assert (await idle.ask("/")).status == 200
    assert await rig.gateway.apply(during(page))
    over = asyncio.create_task(rig.gateway.handed_over())
    assert not (await asyncio.wait([over], timeout=0.3))[0]  # one answers, one is idle
    answer = await get(rig.port, "/x")
    assert (answer.status, answer.body.decode()) == (503, page.page)
    assert answer.headers["retry-after"] == "900"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (await get(rig.internal)).status == 200
    web.release.set()
    assert (await slow).status == 200
    assert (await idle.ask("/")).status == 200  # the last one by the rules before
    await over
    assert (await idle.ask("/")).status == 503
    await rig.gateway.apply(during(Maintenance("no\n", allowed=("10.0.0.0/8", "127.0.0.1"))))
    assert (await get(rig.port)).status == 200
    assert (await Client(rig.port).ask(headers={"X-Forwarded-For": "10.0.0.1"})).status == 200
    await rig.gateway.apply(during(Maintenance("no\n", allowed=("10.0.0.0/8",))))
    assert (await Client(rig.port).ask(headers={"X-Forwarded-For": "10.0.0.1"})).status == 503
    await rig.gateway.apply(during(None))
    assert (await get(rig.port)).status == 200
    assert not list(rig.paths.gateway.glob("page-*"))
