"""Maintenance is stored, served and ended, and goes with its app; what cannot be is refused before anything changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from fourfold.control.routing.maintaining import Maintaining, Page
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.errors import FourfoldError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import Maintenance
from tests.control.life import Life, Want

PAGE = Page("<p>", "text/html", 60, ("10.1.2.3/8", " ::1 "))


class Quiet:
    """A gateway that does at once what the rows say."""

    async def settled(self, app: str) -> None:
        pass

    async def handed_over(self) -> None:
        pass


class Scene:
    def __init__(self, home: Path) -> None:
        self.life = Life(home)
        for app in ("shop", "blog"):
            self.life.app(app, gateway={"listen": ":8080"})
            self.life.up(Want("web", ("/",)), Want("api", ("/api",)), Want("worker", port=None), app=app)
        self.life.settle()
        gateway, traffic = cast(Gateway, Quiet()), cast(GatewayTraffic, Quiet())
        self.maintaining = Maintaining(self.life.registry, gateway, traffic, self.life.bus, self.life.clock)

    def served(self) -> dict[str, Maintenance]:
        found = self.life.config().backends
        return {backend.name: backend.maintenance for backend in found if backend.maintenance is not None}


def test_services_and_whole_apps(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        maintaining, registry = scene.maintaining, scene.life.registry
        assert await maintaining.begin("shop", ["web"], PAGE, "ann") == ["web"]
        mine = Maintenance("<p>", "text/html", 60, ("10.0.0.0/8", "::1/128"))
        assert scene.served() == {"shop.web": mine}
        assert await maintaining.begin("shop", [], Page(None, "text/plain", 5, ()), "ann") == ["api", "web"]
        whole = Maintenance("shop is being worked on; please try again later\n", "text/plain", 5, ())
        assert scene.served() == {"shop.api": whole, "shop.web": mine}
        registry.reload()  # as the next daemon
        assert scene.served() == {"shop.api": whole, "shop.web": mine}
        with pytest.raises(FourfoldError, match="all of shop is in maintenance"):
            await maintaining.end("shop", ["web"], "ann")
        assert await maintaining.end("blog", [], "ann") == []
        assert await maintaining.end("shop", [], "ann") == ["api", "web"]
        assert scene.served() == {}
        assert await maintaining.end("shop", ["web"], "ann") == []

        await maintaining.begin("shop", ["web", "api"], PAGE, "ann")
        await maintaining.begin("blog", [], PAGE, "ann")
        assert await maintaining.end("shop", ["web"], "ann") == ["web"]
        with registry.transaction():
            registry.remove_service(registry.services["shop.api"])
        assert scene.served().keys() == {"blog.web", "blog.api"}
        scene.life.bus.flush()
        told = [event.message for event in scene.life.bus.since(0) if event.kind == "gateway.maintenance"]
        assert told == [
            f"maintenance of {what}"
            for what in (("web begins", "shop begins", "shop ends", "web, api begins", "blog begins", "web ends"))
        ]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("services", "page", "words"),
    [
        (["nosuch"], PAGE, "cannot find service nosuch"),
        (["worker"], PAGE, "worker: it has no route"),
        (["web"], Page("x" * 12_289, "text/plain", 60, ()), "12,289 bytes"),
        (["web"], Page("x", "text/plain", 60, ("example.com",)), "'example.com' in"),
        (["web"], Page("x", "text/plain", 60, ("10.0.0.0/8",) * 31), "31 networks"),
    ],
)
def test_what_is_refused(services: list[str], page: Page, words: str, tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        with pytest.raises(FourfoldError, match=words):
            await scene.maintaining.begin("shop", services, page, "ann")
        assert scene.served() == {}

    asyncio.run(run())
