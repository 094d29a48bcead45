"""Certificates while their apps run: renewed files are taken as they come, and one that is about to end is told of.

What is served is a copy (`certificates/APP.pem`), which `up` makes. The files that it came from are looked at every few
seconds, where this machine has them: that is how certbot, or a copy from elsewhere, renews one, and how a copy that
somebody has removed comes back. Who has them on another machine sends them (`renew`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fourfold.clock import Clock, rfc3339
from fourfold.control.bus import Bus
from fourfold.control.deploying.places import beside, is_here
from fourfold.control.registry import Registry
from fourfold.control.routing.claims import gateway_of
from fourfold.control.routing.routing import certificate
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.control.views import CertificateView
from fourfold.errors import FourfoldError, UserError, WorldError
from fourfold.gateway import naming
from fourfold.gateway.certificates import DAY, SOON, Facts, combine, ending, facts, is_renewal, read, unfit
from fourfold.store.files.sources import write_atomically

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
PATIENCE = 60.0
"""Seconds in which a new certificate's key may come after it before anybody is told that they do not fit."""
AGAIN_SECONDS = 6 * 3600.0
"""Between looks at how long certificates are valid."""
STAGES = (0, 1, 3, 7, SOON)
"""Days before its end at which a certificate is told of."""
RENEWED = "a renewed certificate is served"
BACK = "the copy of the certificate was lost, and is there again"
"""As events begin; `BACK` also where the files were renewed meanwhile, which nobody can tell any more."""

Signature = tuple[tuple[int, int, int], ...]
"""Of both files: inode, time of change in nanoseconds, size."""


@dataclass
class _Watched:
    """What is known of an app's files."""

    signature: Signature | None = None
    """As they were when what they hold was judged."""
    unfit_since: float | None = None
    told: bool = False


class Certificates:
    def __init__(self, folder: Path, registry: Registry, traffic: GatewayTraffic, bus: Bus, clock: Clock) -> None:
        self._folder = folder
        self._registry = registry
        self._traffic = traffic
        self._bus = bus
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._stages: dict[str, tuple[float, int]] = {}
        """App -> end of its certificate, and the stage that was told."""
        self._looked = -math.inf

    async def run(self) -> None:
        """Until cancelled. Not at once: to read certificates takes a library that a starting daemon has no time for."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Once: take what was renewed, and tell of what ends."""
        for gone in self._watched.keys() - self._registry.apps.keys():
            del self._watched[gone]
        for app, paths in dict(self._apps()).items():
            row = self._registry.apps.get(app)  # it may have gone while another was looked at
            if row is not None and is_here(row.file):
                with self._each(app):
                    await self._look_at(app, paths)
        if not 0 <= self._clock.now() - self._looked < AGAIN_SECONDS:  # the clock may have been set back
            self._looked = self._clock.now()
            await self._tell_of_ends()

    async def renew(self, app: str, chain: bytes, key: bytes, actor: str) -> None:
        """Serve this one from now on, for all apps on the address. Raises UserError when it cannot be."""
        if app not in dict(self._apps()):
            raise UserError(
                f"cannot renew the certificate of {app}: its gateway has no TLS",
                "give it gateway.tls, then `fourfold up`",
            )
        content = await asyncio.to_thread(combine, chain, key, "the certificate given")
        found = await asyncio.to_thread(facts, content)
        if why := unfit(found, self._clock.now()):
            raise UserError(f"cannot serve this certificate: {why}")
        await self._take(self._mates(app), content, found, actor)

    async def view(self, app: str) -> CertificateView:
        """Raises UserError for an app without TLS."""
        apps = dict(self._apps())
        if app not in apps:
            raise UserError(f"cannot show the certificate of {app}: its gateway has no TLS")
        is_watched, is_shared = is_here(self._registry.apps[app].file), len(self._mates(app)) > 1
        found = await asyncio.to_thread(self._stored, app)  # from here on the app may go
        here = await asyncio.to_thread(_signature, apps[app]) if is_watched else None
        return CertificateView(
            names=list(found.names),
            issuer=found.issuer,
            begins_at=rfc3339(found.begins),
            ends_at=rfc3339(found.ends),
            days=int((found.ends - self._clock.now()) // DAY),
            files=list(apps[app]),
            shared=is_shared,
            watched=here is not None,
        )

    def _apps(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Those with TLS, and where their certificate and key come from."""
        for name, row in self._registry.apps.items():
            tls = gateway_of(self._registry, name).tls
            if tls is not None:
                yield name, (beside(row.file, tls.cert), beside(row.file, tls.key))

    def _mates(self, app: str) -> list[str]:
        """Those on its address, which all have one certificate."""
        address = naming.listen(gateway_of(self._registry, app).listen)
        return [name for name, _ in self._apps() if naming.listen(gateway_of(self._registry, name).listen) == address]

    def _afar(self, app: str) -> list[str]:
        """Of its mates, those whose own files are not watched."""
        return [mate for mate in self._mates(app) if mate != app and not is_here(self._registry.apps[mate].file)]

    def _stored(self, app: str) -> Facts:
        path = certificate(self._folder, app)
        try:
            return facts(path.read_bytes())
        except FileNotFoundError:
            raise WorldError(f"cannot read {path}: it is not there", f"send it again: fourfold up -a {app}") from None

    async def _look_at(self, app: str, paths: tuple[str, str]) -> None:
        known = self._watched.setdefault(app, _Watched())
        stored = certificate(self._folder, app)
        lost = not await asyncio.to_thread(stored.exists)
        signature = await asyncio.to_thread(_signature, paths)
        if signature is None or (signature == known.signature and not lost):
            return
        try:
            content, found = await asyncio.to_thread(_load, paths)
        except UserError as error:  # half of it is there, or none any more
            now = self._clock.now()
            known.unfit_since = known.unfit_since or now
            if now - known.unfit_since >= PATIENCE and not known.told:
                known.told = True
                self._emit(app, f"the certificate that lies in {paths[0]} is not taken: {error}")
            return
        if lost:
            await self._take([app, *self._afar(app)], content, found, "", BACK)
        elif content != await asyncio.to_thread(stored.read_bytes):
            present = await asyncio.to_thread(self._stored, app)
            if is_renewal(found, present, self._clock.now()):
                await self._take([app, *self._afar(app)], content, found, "")
        self._watched[app] = _Watched(signature)

    async def _take(self, apps: list[str], content: bytes, found: Facts, actor: str, what: str = RENEWED) -> None:
        for app in apps:
            await asyncio.to_thread(write_atomically, certificate(self._folder, app), content, 0o600)
        self._traffic.refresh()
        for app in apps:
            self._stages.pop(app, None)
            self._emit(app, f"{what}, valid until {rfc3339(found.ends)}", found.ends, actor)
        await self._traffic.settled(apps[0])
        self._looked = -math.inf

    async def _tell_of_ends(self) -> None:
        now = self._clock.now()
        for gone in self._stages.keys() - self._registry.apps.keys():
            del self._stages[gone]
        for app, _ in list(self._apps()):
            with self._each(app):
                ends = (await asyncio.to_thread(self._stored, app)).ends
                left = (ends - now) / DAY
                stage = next((each for each in STAGES if left <= each), None)
                if stage is not None and self._stages.get(app) != (ends, stage):
                    self._emit(app, f"the certificate {ending(ends, now)}", ends)
                    self._stages[app] = ends, stage

    @contextmanager
    def _each(self, app: str) -> Iterator[None]:
        """What is wrong with one keeps nobody from the others."""
        try:
            yield
        except FourfoldError as error:
            log.error("the certificate of %s: %s", app, error)
        except Exception:
            log.exception("a fault while the certificate of %s was looked at", app)

    def _emit(self, app: str, what: str, ends: float | None = None, actor: str = "") -> None:
        data = {} if ends is None else {"ends_at": rfc3339(ends)}
        self._bus.emit("gateway.certificate", what, app=app, actor=actor or None, **data)


def _signature(paths: tuple[str, str]) -> Signature | None:
    """None: this machine does not have them both."""
    try:
        found = [Path(path).stat() for path in paths]
    except OSError:
        return None
    return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)


def _load(paths: tuple[str, str]) -> tuple[bytes, Facts]:
    cert, key = paths
    content = combine(read(cert, "gateway.tls"), read(key, "gateway.tls"))
    return content, facts(content)
