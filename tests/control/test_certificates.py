"""Renewed certificates are taken when they are whole, valid and newer, here or sent; the end of one is told in time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509

from fourfold.control.routing.certificates import PATIENCE, Certificates
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.errors import UserError, WorldError
from fourfold.gateway.certificates import DAY, Facts, combine, ending, is_renewal
from tests.control.life import Life, Want
from tests.gateway.pem import pair

HOUR = 3600.0


class Traffic:
    def __init__(self) -> None:
        self.settles = 0

    def refresh(self) -> None:
        pass

    async def settled(self, app: str) -> None:
        self.settles += 1


class Scene:
    """App `shop` with TLS, and `blog` on the same address; the clock is `now` in seconds after today's midnight."""

    def __init__(self, home: Path) -> None:
        self.life = Life(home)
        self.folder = home / "certificates"
        self.folder.mkdir(exist_ok=True)
        self.files = home / "files"
        self.files.mkdir()
        self.gateway = {
            "listen": ":8443", "tls": {"cert": str(self.files / "c.pem"), "key": str(self.files / "k.pem")},
        }  # fmt: skip
        for app in ("shop", "blog"):
            self.life.app(app, gateway=self.gateway, file=str(self.files / "fourfold.yaml"))
            self.life.up(Want("web", (f"/{app}",)), app=app)
        self.life.app("plain", gateway={"listen": ":8080"})
        self.life.settle()
        self.traffic = Traffic()
        self.midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.at(0)
        self.restart()

    def restart(self) -> None:
        traffic = cast(GatewayTraffic, self.traffic)
        self.certificates = Certificates(self.folder, self.life.registry, traffic, self.life.bus, self.life.clock)

    def at(self, seconds: float) -> None:
        self.life.clock.time = self.midnight.timestamp() + seconds

    def made(self, begins: float, days: float = 30) -> tuple[bytes, bytes]:
        start = self.midnight + timedelta(seconds=begins)
        return pair(begins=start, ends=start + timedelta(days=days))

    def lies(self, made: tuple[bytes, bytes]) -> None:
        for name, content in zip(("c.pem", "k.pem"), made, strict=True):
            self.put(name, content)

    def put(self, name: str, content: bytes) -> None:
        (self.files / "new").write_bytes(content)
        (self.files / "new").replace(self.files / name)

    def stored(self, made: tuple[bytes, bytes]) -> None:
        for app in ("shop", "blog"):
            (self.folder / f"{app}.pem").write_bytes(combine(*made))

    def serves(self, made: tuple[bytes, bytes]) -> bool:
        return all((self.folder / f"{app}.pem").read_bytes() == combine(*made) for app in ("shop", "blog"))

    def told(self) -> list[str]:
        self.life.bus.flush()
        found = [event for event in self.life.bus.since(0) if event.kind == "gateway.certificate"]
        return [event.message for event in found if event.app == "shop"]


def test_renewed_files_are_taken_when_they_are_whole_and_newer(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        first, second, third = scene.made(-HOUR), scene.made(0), scene.made(HOUR)
        scene.lies(first)
        scene.stored(first)
        await scene.certificates.look()
        assert (scene.traffic.settles, scene.told()) == (0, [])

        scene.put("c.pem", second[0])  # the key comes later
        await scene.certificates.look()
        assert scene.serves(first)
        scene.put("k.pem", second[1])
        await scene.certificates.look()
        assert scene.serves(second)
        assert (scene.folder / "shop.pem").stat().st_mode & 0o777 == 0o600
        assert len(scene.told()) == 1

        scene.lies(first)  # an older one comes back: `up` alone takes that
        scene.lies(third)  # one that is not valid yet
        await scene.certificates.look()
        assert scene.serves(second)
        scene.at(2 * HOUR)
        scene.restart()  # what was renewed while there was no daemon
        await scene.certificates.look()
        assert scene.serves(third)

        scene.life.registry.apps.pop("blog")
        await scene.certificates.look()
        assert scene.certificates._watched.keys() == {"shop"}

        scene.put("k.pem", first[1])
        for seconds in (0, PATIENCE - 1, PATIENCE, PATIENCE + 5):
            scene.at(3 * HOUR + seconds)
            await scene.certificates.look()
            told = [what for what in scene.told() if "is not taken" in what]
            assert len(told) == (seconds >= PATIENCE)
        (scene.files / "k.pem").unlink()
        await scene.certificates.look()
        assert scene.serves(third)

    asyncio.run(run())


def test_a_copy_that_was_removed_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        first = scene.made(0)
        scene.lies(first)
        scene.stored(first)
        await scene.certificates.look()
        for app in ("shop", "blog"):
            (scene.folder / f"{app}.pem").unlink()
        with pytest.raises(WorldError, match="it is not there"):
            await scene.certificates.view("shop")
        await scene.certificates.look()
        assert scene.serves(first)
        assert [what.partition(",")[0] for what in scene.told()] == ["the copy of the certificate was lost"]
        (scene.folder / "shop.pem").unlink()
        await scene.certificates.renew("shop", *first, "ann")
        assert scene.serves(first)

    asyncio.run(run())


def test_one_that_is_sent_is_served_by_all_on_the_address(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        first, second = scene.made(0), scene.made(0)
        scene.stored(first)
        await scene.certificates.renew("shop", *second, "ann")
        assert scene.serves(second)
        view = await scene.certificates.view("blog")
        assert (view.names, view.issuer, view.days, view.watched) == (["shop.test"], "shop.test", 30, False)
        for given, words in [
            ((first[0], second[1]), "does not belong"),
            ((b"", b""), "no PEM certificate"),
            (scene.made(-40 * DAY), "it has ended on"),
            (scene.made(DAY), "it is not valid before"),
            (broken(), "it is damaged"),
        ]:
            with pytest.raises(UserError, match=words):
                await scene.certificates.renew("shop", *given, "ann")
        assert scene.serves(second)
        with pytest.raises(UserError, match="its gateway has no TLS"):
            await scene.certificates.renew("plain", *second, "ann")
        with pytest.raises(UserError, match="its gateway has no TLS"):
            await scene.certificates.view("plain")

    asyncio.run(run())


def broken() -> tuple[bytes, bytes]:
    return pair(names=x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"no ASN.1"))


def test_one_that_is_damaged_or_elsewhere_keeps_nothing_from_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        first, second = scene.made(0), scene.made(HOUR)
        scene.stored(first)
        scene.lies(second)
        scene.at(2 * HOUR)
        for app in ("shop", "blog"):
            scene.life.app(app, gateway=scene.gateway, file="ci:/srv/fourfold.yaml")  # though the paths are absolute
        await scene.certificates.look()
        assert scene.serves(first) and not (await scene.certificates.view("shop")).watched
        scene.life.app("shop", gateway=scene.gateway, file=str(scene.files / "fourfold.yaml"))
        await scene.certificates.look()
        assert scene.serves(second), "one address has one certificate"
        (scene.folder / "blog.pem").write_bytes(combine(*broken()))
        scene.at(29 * DAY)
        await scene.certificates.look()
        assert any("ends in" in what for what in scene.told())
        scene.at(31 * DAY)
        await scene.certificates.look()
        scene.at(20 * DAY)  # the clock is set back: the next look is not put off for days
        await scene.certificates.look()
        assert "ends in 10" in scene.told()[-1]

    asyncio.run(run())


def test_an_app_that_goes_while_its_certificate_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        scene.stored(scene.made(-HOUR))
        read = scene.certificates._stored

        def stored(app: str) -> Facts:
            scene.life.registry.apps.clear()
            return read(app)

        monkeypatch.setattr(scene.certificates, "_stored", stored)
        assert (await scene.certificates.view("shop")).shared

    asyncio.run(run())


def test_an_app_that_goes_while_another_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        scene.stored(scene.made(-HOUR))
        looked: list[str] = []

        async def look_at(app: str, paths: tuple[str, str]) -> None:
            looked.append(app)
            for name in {"shop", "blog"} - {app}:
                scene.life.registry.apps.pop(name, None)

        monkeypatch.setattr(scene.certificates, "_look_at", look_at)
        await scene.certificates.look()
        assert len(looked) == 1

    asyncio.run(run())


def test_the_end_is_told_five_times(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        scene.stored(scene.made(0))
        for hours in range(0, 32 * 24, 5):
            scene.at(hours * HOUR)
            await scene.certificates.look()
        assert [" ".join(what.split()[:5]) for what in scene.told()] == [
            "the certificate ends in 13",
            "the certificate ends in 6",
            "the certificate ends in 2",
            "the certificate ends in 0",
            "the certificate has ended on",
        ]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("found", "present", "renewal"),
    [
        ((0, 100), (0, 90), True),
        ((0, 100), (5, 90), False),
        ((0, 100), (5, 40), True),  # older, but the present one is over
        ((60, 100), (0, 90), False),  # not yet
        ((0, 50), (0, 40), False),  # over
    ],
)
def test_what_is_a_renewal(found: tuple[float, float], present: tuple[float, float], renewal: bool) -> None:
    assert is_renewal(Facts((), "", *found), Facts((), "", *present), 50) is renewal


@pytest.mark.parametrize(("names", "renewal"), [("ab", True), ("abc", True), ("a", False), ("", False)])
def test_a_renewal_is_for_the_same_names(names: str, renewal: bool) -> None:
    found, present = Facts(tuple(names), "", 0, 100), Facts(("a", "b"), "", 0, 100)
    assert is_renewal(found, present, 50) is renewal


def test_words() -> None:
    assert ending(10, 20).startswith("has ended on 1970-01-01T00:00:10Z")
    assert ending(1.5 * DAY, 0) == "ends in 1 day, on 1970-01-02T12:00:00Z"
    assert ending(20.5 * DAY, 0).startswith("ends in 20 days, on")
