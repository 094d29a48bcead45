"""What an app may not have because another has it: refused before anything changes, whatever the command is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fourfold.control.deploying.checks import read_app
from fourfold.control.parts import Parts
from fourfold.control.routing.passwords import Passwords
from fourfold.control.routing.sharing import check_rollback, check_up
from fourfold.control.views import UpRequest
from fourfold.errors import UserError
from fourfold.gateway.certificates import combine
from fourfold.gateway.haproxy import Gateway
from fourfold.paths import Paths
from tests.control.life import Life, Want
from tests.gateway.pem import pair, self_signed
from tests.support.ports import free_port


class Host:
    """Several apps on one gateway. HAProxy judges, but does not run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.life = Life(home)
        self.port = free_port()
        paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        passwords = Passwords(self.life.registry.store.secrets)
        found = SimpleNamespace(
            registry=self.life.registry, paths=paths, gateway=Gateway(paths), passwords=passwords, clock=self.life.clock
        )
        self.parts = cast(Parts, found)
        self.certificates = paths.certificates

    def runs(self, app: str, *wants: Want, **gateway: Any) -> None:
        self.life.app(app, gateway=self.gateway(**gateway), file=str(self.home / app / "fourfold.yaml"))
        self.life.up(*wants, app=app)
        self.life.settle()
        if "tls" in gateway:
            (self.certificates / f"{app}.pem").write_bytes(self_signed())

    def gateway(self, **given: Any) -> dict[str, Any]:
        return {"listen": f"127.0.0.1:{self.port}", **given}

    async def up(self, app: str, services: dict[str, str], only: list[str] | None = None, **gateway: Any) -> None:
        """`services`: name -> path."""
        folder = self.home / app
        folder.mkdir(exist_ok=True)
        (folder / "c.pem").write_bytes(self_signed())
        one = {"source": "./x", "run": "x", "port": 8080}
        spec = {
            "app": app,
            "gateway": self.gateway(**gateway),
            "services": {name: one | {"route": [{"path": path}]} for name, path in services.items()},
        }
        request = UpRequest(spec=spec, sources={}, file=str(folder / "fourfold.yaml"))
        await check_up(self.parts, read_app(spec), only or list(services), request)

    async def rollback(self, key: str, release: int) -> None:
        await check_rollback(self.parts, self.life.registry.services[key], release)


def hosted(test: Callable[[Host], Awaitable[None]]) -> Callable[[Path], None]:
    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            await test(Host(tmp_path))

        asyncio.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


TLS = {"cert": "c.pem", "key": "c.pem"}


@hosted
async def test_what_fits(host: Host) -> None:
    host.runs("a", Want("web", ("/",)))
    await host.up("b", {"web": "/b"})
    await host.up("b", {"web": "/"}, listen=f"127.0.0.2:{host.port}")
    await host.up("a", {"web": "/", "other": "/other"})
    assert not list(host.parts.paths.work.rglob("*.pem"))


@hosted
async def test_an_address_that_takes_in_anothers(host: Host) -> None:
    host.runs("a", Want("web", ("/",)))
    with pytest.raises(UserError, match=f"the gateway on 127.0.0.1:{host.port}"):
        await host.up("b", {"web": "/b"}, listen=f":{host.port}")


@hosted
async def test_two_spellings_of_one_address_are_one(host: Host) -> None:
    host.runs("a", Want("web", ("/a",)))
    await host.up("b", {"web": "/b"}, listen=f"localhost:{host.port}")
    with pytest.raises(UserError, match=r"a\.web has it"):
        await host.up("b", {"web": "/a"}, listen=f"localhost:{host.port}")


@hosted
async def test_two_redirects_to_different_addresses(host: Host) -> None:
    host.runs("a", Want("web", ("/",)), tls=TLS, redirect=True)
    with pytest.raises(UserError, match="redirect to https"):
        await host.up("b", {"web": "/b"}, tls=TLS, redirect=True, listen=f"127.0.0.1:{host.port - 1}")
    assert not list(host.parts.paths.work.rglob("*.pem"))  # no private key stays behind


@hosted
async def test_tls_and_plain_http_on_one_address(host: Host) -> None:
    host.runs("a", Want("web", ("/",)), tls=TLS)
    with pytest.raises(UserError, match="app a has TLS there and app b has not"):
        await host.up("b", {"web": "/b"})
    host.runs("a", Want("web", ("/",)))
    with pytest.raises(UserError, match="app b has TLS there and app a has not"):
        await host.up("b", {"web": "/b"}, tls=TLS)


@hosted
async def test_two_certificates_on_one_address(host: Host) -> None:
    host.runs("a", Want("web", ("/",)), tls=TLS)
    with pytest.raises(UserError, match="app a uses another there"):
        await host.up("b", {"web": "/b"}, tls=TLS)  # the same name, but in another folder
    shared = {"cert": str(host.home / "a" / "c.pem"), "key": "../a/c.pem"}
    (host.home / "a").mkdir()
    (host.home / "a" / "c.pem").write_bytes(self_signed())
    await host.up("b", {"web": "/b"}, tls=shared)


@hosted
async def test_a_rollback_to_a_route_that_is_anothers_now(host: Host) -> None:
    host.runs("a", Want("web", ("/shop",)))
    host.life.up(Want("web", ("/old",)), Want("web2", ("/shop",)), app="a")
    host.life.settle()
    with pytest.raises(UserError, match=r"a\.web2 has it"):
        await host.rollback("a.web", 1)
    await host.rollback("a.web", 2)


@hosted
async def test_a_route_that_another_would_have_again_if_its_deployment_failed(host: Host) -> None:
    host.runs("a", Want("web", ("/shop",)))
    host.life.slow.add("web")
    host.life.up(Want("web", ("/other",)), app="a")
    with pytest.raises(UserError, match=r"a\.web has it"):
        await host.up("b", {"web": "/shop"})
    host.life.slow.clear()
    host.life.settle()
    await host.up("b", {"web": "/shop"})


@hosted
async def test_one_service_deployed_beside_others_of_its_app(host: Host) -> None:
    host.runs("a", Want("web", ("/shop",)), Want("api", ("/api",)))
    with pytest.raises(UserError, match=r"a\.web has it"):
        await host.up("a", {"api": "/shop", "web": "/other"}, only=["api"])
    host.runs("b", Want("web", ("/api",)), listen=f"127.0.0.2:{host.port}")
    with pytest.raises(UserError, match="has that route"):  # what stays as it is moves to the new address too
        await host.up("a", {"api": "/x", "web": "/y"}, only=["web"], listen=f"127.0.0.2:{host.port}")


@hosted
async def test_others_that_do_not_work_by_themselves_are_no_reason(host: Host) -> None:
    host.runs("a", Want("web", ("/",)), tls=TLS)
    (host.certificates / "a.pem").write_text("nothing")
    await host.up("b", {"web": "/b"}, listen=f"127.0.0.2:{host.port}")
    with pytest.raises(UserError, match="no such address"):
        await host.up("b", {"web": "/b"}, listen="192.0.2.1:8080")  # not one of this machine's


@hosted
async def test_a_certificate_may_be_sent_with_the_request(host: Host) -> None:
    """Its files are on the client's machine."""
    one = {"source": "./x", "run": "x", "port": 8080, "route": [{"path": "/"}]}
    spec = {"app": "shop", "gateway": host.gateway(tls=TLS), "services": {"web": one}}
    request = UpRequest(spec=spec, sources={}, file="/elsewhere/fourfold.yaml")
    for given, words in [(None, "cannot read /elsewhere/c.pem"), ("nonsense", "no PEM certificate")]:
        with pytest.raises(UserError, match=words):
            await check_up(host.parts, read_app(spec), ["web"], request.model_copy(update={"certificate": given}))
    sent = request.model_copy(update={"certificate": self_signed().decode()})
    assert "PRIVATE" not in repr(sent)
    await check_up(host.parts, read_app(spec), ["web"], sent)


@hosted
async def test_a_certificate_whose_time_is_not_now_replaces_none_that_is_valid(host: Host) -> None:
    now = datetime.now(UTC)
    host.life.clock.time = now.timestamp()
    one = {"source": "./x", "run": "x", "port": 8080, "route": [{"path": "/"}]}
    spec = {"app": "shop", "gateway": host.gateway(tls=TLS), "services": {"web": one}}
    served, day = host.certificates / "shop.pem", timedelta(days=1)

    async def up(begins: datetime, ends: datetime) -> None:
        sent = b"".join(pair(begins=begins, ends=ends)).decode()
        request = UpRequest(spec=spec, sources={}, file="/x/fourfold.yaml", certificate=sent)
        await check_up(host.parts, read_app(spec), ["web"], request)

    ended, coming = (now - 2 * day, now - day), (now + day, now + 2 * day)
    await up(*ended)
    served.write_bytes(b"".join(pair()))
    with pytest.raises(UserError, match=r"it has ended on .*, and the one that is served is valid"):
        await up(*ended)
    with pytest.raises(UserError, match="it is not valid before"):
        await up(*coming)
    await up(now - day, now + day)
    for none_valid in (b"".join(pair(begins=ended[0], ends=ended[1])), b"damaged"):
        served.write_bytes(none_valid)
        await up(*ended)


@hosted
async def test_paths_of_a_tokens_holder_are_none_of_this_machine(host: Host) -> None:
    """One certificate for an address is then one with the same content, wherever they say that it lies."""
    here = host.home / "c.pem"
    here.write_bytes(self_signed())
    one = {"source": "./x", "run": "x", "port": 8080, "route": [{"path": "/"}]}
    tls = {"cert": str(here), "key": str(here)}
    spec = {"app": "shop", "gateway": host.gateway(tls=tls), "services": {"web": one}}
    request = UpRequest(spec=spec, sources={}, file="ci:/srv/fourfold.yaml")
    with pytest.raises(UserError, match="was not sent, and files are not read here"):
        await check_up(host.parts, read_app(spec), ["web"], request)
    host.runs("a", Want("web", ("/a",)), tls=tls)
    with pytest.raises(UserError, match="app a uses another there"):
        sent = request.model_copy(update={"certificate": self_signed().decode()})
        await check_up(host.parts, read_app(spec), ["web"], sent)
    served = (host.certificates / "a.pem").read_bytes()
    (host.certificates / "a.pem").write_bytes(combine(served, served))
    await check_up(host.parts, read_app(spec), ["web"], request.model_copy(update={"certificate": served.decode()}))
