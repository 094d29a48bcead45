"""Each `cases/NAME.json` (a GatewayConfig) renders to `cases/NAME.cfg`, maps included, and HAProxy accepts it.

A new case is a new .json; `FOURFOLD_WRITE_CASES=1` writes what is rendered today, for a person to read and keep.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from fourfold.errors import UserError
from fourfold.gateway import program
from fourfold.gateway.files import contents
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Machine, Rule, Server
from fourfold.gateway.render import Rendered, render
from tests.gateway.pem import self_signed

CASES = Path(__file__).parent / "cases"
CERTIFICATE = "cert-000000000000000000000000.pem"


def load(name: str) -> tuple[GatewayConfig, Machine]:
    raw = json.loads((CASES / f"{name}.json").read_text())
    machine = TypeAdapter(Machine).validate_python(raw.pop("machine", {}))
    return TypeAdapter(GatewayConfig).validate_python(raw), machine


def rendered(name: str) -> Rendered:
    config, machine = load(name)
    return render(config, machine, {front.certificate: CERTIFICATE for front in config.frontends if front.certificate})


@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.json")))
def test_case(name: str, tmp_path: Path) -> None:
    made = rendered(name)
    maps = "".join(f"\n===== {file}\n{text}" for file, text in sorted(made.maps.items()))
    expected = CASES / f"{name}.cfg"
    if os.environ.get("FOURFOLD_WRITE_CASES"):
        expected.write_text(made.text + maps)
    assert made.text + maps == expected.read_text()
    for file, content in contents(made, {CERTIFICATE: self_signed()}).items():
        (tmp_path / file).write_bytes(content)
    asyncio.run(program.check(program.find(), tmp_path))


def one(**changes: object) -> GatewayConfig:
    """A good configuration with one thing changed."""
    fields = {"listen": ":8080", "host": "a.test", "path": "/", "methods": (), "backend": "shop.web", "timeout": 60.0}
    fields |= {"server": "shop.web-1-a", "address": "127.0.0.1", "port": 4000, "internal_port": 4001}
    fields |= {"hard_stop_after": 300.0, **changes}
    value = TypeAdapter(dict[str, object]).validate_python(fields)
    rule = TypeAdapter(Rule).validate_python({k: value[k] for k in ("backend", "host", "path", "methods", "timeout")})
    server = TypeAdapter(Server).validate_python(
        {"name": value["server"], "host": value["address"], "port": value["port"]}
    )
    backend = TypeAdapter(Backend).validate_python(
        {"name": value["backend"], "servers": (server,), "internal_port": value["internal_port"]}
    )
    return GatewayConfig((Frontend(str(value["listen"]), (rule,)),), (backend,), float(str(value["hard_stop_after"])))


BAD = [
    *({"host": host} for host in ["a b", 'a"b', "a#b", "a\nb", "a'b", "", "*", "a.*", "http://a", "a:80", "ä.test"]),
    *({"host": host} for host in ["a/b", "-a.test", "a..b", "x" * 254, "a\0b", "a{b", "*.*.a"]),
    *({"path": path} for path in ["a", "", "/a b", '/a"b', "/a'b", "/a#b", "/a\nb", "/a\\b", "//a", "/a//b", "/a?b"]),
    *({"path": path} for path in ["/%", "/%zz", "/ä", "/./a", "/a/..", "/a\0", "/a\tb", "/{a}", "/" + "a" * 2000]),
    *({"methods": (method,)} for method in ["get", "GET POST", "", "GET\n", "G#T", "*"]),
    *({"backend": name} for name in ["a b", "", 'a"', "a\nserver x", "a:b", "a#", "-a", "a/b", "x" * 200]),
    *({"server": name} for name in ["a b", "", "a\n", "a/b", "a#"]),
    *({"address": host} for host in ["localhost", "", "1.2.3.4 check", "127.1", "a\nb"]),
    *({"port": port} for port in [0, -1, 65536]),
    *({"internal_port": port} for port in [0, 65536, 8080]),
    *({"listen": where} for where in ["8080", "", ":0", ":70000", ":x", "a.test:80", "::1:80", ":80 ssl", "1.2.3:1"]),
    *({"listen": where} for where in ["127.0.0.1:80\n", "[::1:80", ":٣"]),
    *({"timeout": timeout} for timeout in [0, -1, 1e9]),
    {"hard_stop_after": 0},
]


@pytest.mark.parametrize("change", BAD, ids=repr)
def test_refused(change: dict[str, object]) -> None:
    render(one())
    with pytest.raises(UserError, match=r"^cannot "):
        render(one(**change))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (GatewayConfig((Frontend(":1", (Rule("no.where"),)),)), "there is no such service"),
        (GatewayConfig(backends=(Backend("a"), Backend("a"))), "two backends"),
        (GatewayConfig((Frontend(":81"), Frontend("127.0.0.1:81"))), "port 81"),
        (GatewayConfig((Frontend("127.0.0.1:81"), Frontend(":81"))), "port 81"),
        (GatewayConfig((Frontend(":80"), Frontend(":81", certificate="c", redirect=True))), "port 80"),
        (GatewayConfig(backends=(Backend("a", (), 81), Backend("b", (), 81))), "b's internal address"),
        (GatewayConfig((Frontend("[::1]:81"), Frontend("127.0.0.1:81"), Frontend("[::1]:81"))), "port 81"),
        (GatewayConfig((Frontend(":1", (Rule("a"), Rule("b"))),), (Backend("a"), Backend("b"))), "a has that route"),
        (
            GatewayConfig(
                (Frontend(":1", (Rule("a", "A.x", "/p/"), Rule("b", "a.X", "/p"))),), (Backend("a"), Backend("b"))
            ),
            r"cannot route a\.x/p to b: a has that route",
        ),
        (
            GatewayConfig(
                (Frontend(":1", (Rule("a", methods=("GET", "PUT")), Rule("b", methods=("PUT",)))),),
                (Backend("a"), Backend("b")),
            ),
            "cannot route PUT / to b",
        ),
        (GatewayConfig((Frontend(":1", (Rule("a", strip=True), Rule("a"))),), (Backend("a"),)), "twice, differently"),
        (
            GatewayConfig(backends=(Backend("a", (Server("s", "::1", 1),)), Backend("b", (Server("s", "::1", 2),)))),
            "two servers",
        ),
    ],
)
def test_contradictions_are_refused(config: GatewayConfig, words: str) -> None:
    with pytest.raises(UserError, match=words):
        render(config, certificates={"c": CERTIFICATE})


def test_the_same_route_twice_is_no_contradiction() -> None:
    render(GatewayConfig((Frontend(":1", (Rule("a"), Rule("a"))),), (Backend("a"),)))


def test_servers_do_not_change_the_fingerprint_and_everything_else_does() -> None:
    config, machine = load("everything")
    fronts = {front.certificate: CERTIFICATE for front in config.frontends if front.certificate}
    before = render(config, machine, fronts).fingerprint
    without = replace(config, backends=tuple(replace(backend, servers=()) for backend in config.backends))
    assert render(without, machine, fronts).fingerprint == before
    changed = [
        render(config, replace(machine, threads=3), fronts),
        render(replace(config, hard_stop_after=1), machine, fronts),
        render(replace(config, backends=(*config.backends, Backend("x"))), machine, fronts),
        render(replace(config, frontends=config.frontends[:-1]), machine, fronts),
        render(config, machine, dict.fromkeys(fronts, "cert-1.pem")),
    ]
    assert len({made.fingerprint for made in changed} - {before}) == len(changed)


def test_order_of_input_does_not_matter() -> None:
    config, machine = load("everything")
    fronts = {front.certificate: CERTIFICATE for front in config.frontends if front.certificate}
    turned = replace(
        config,
        frontends=tuple(replace(front, rules=front.rules[::-1]) for front in config.frontends),
        backends=tuple(replace(backend, servers=backend.servers[::-1]) for backend in config.backends[::-1]),
    )
    assert render(turned, machine, fronts) == render(config, machine, fronts)
