"""All apps share one gateway: what an app may not have because others have it. Raises UserError (exit code 2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from fourfold.control.deploying.places import beside, is_here
from fourfold.control.parts import Parts
from fourfold.control.registry import Registry
from fourfold.control.reporting.status import route_text
from fourfold.control.routing.claims import among, before, gateway_of, wanted
from fourfold.control.routing.routing import Exposed, alone, certificate, planned_config
from fourfold.control.views import UpRequest
from fourfold.errors import UserError
from fourfold.gateway import naming
from fourfold.gateway.certificates import combine, facts, read, unfit
from fourfold.spec.app import App
from fourfold.spec.gateway import Gateway, Route
from fourfold.store.model import AppRow, ServiceRow


async def check_up(parts: Parts, app: App, names: list[str], request: UpRequest) -> None:
    """With the certificate in a place of its own: the one in use stays until the app is brought up."""
    registry = parts.registry
    mine = {name: app.everything[name].route for name in names}
    rows = registry.of_app(app.app)
    leaving = {row.name for row in rows if request.prune and row.name not in app.everything}
    content = app_certificate(app, request)
    if content is not None:
        _refuse_worse(content, certificate(parts.paths.certificates, app.app), parts.clock.now())
    claimant = Claimant(app.app, app.gateway, request.file, content, mine, leaving | mine.keys())
    refuse_taken(registry, parts.paths.certificates, claimant)
    stays = {row.name: wanted(registry, row) for row in rows if row.name not in leaving}
    with NamedTemporaryFile(dir=parts.paths.work, suffix=".pem") as pem:  # mode 0600
        pem.write(content or b"")
        pem.flush()
        auth = parts.passwords.needed(app.app)
        await _check_together(parts, Exposed(app.app, app.gateway, Path(pem.name), stays | mine, auth))


async def check_rollback(parts: Parts, row: ServiceRow, release: int) -> None:
    """An older release may have had routes that are another service's now."""
    registry, app = parts.registry, parts.registry.apps[row.app]
    mine = {row.name: registry.spec(f"{row.app}.{row.name}", release).route}
    gateway = gateway_of(registry, row.app)
    pem = certificate(parts.paths.certificates, row.app)
    claimant = Claimant(row.app, gateway, app.file, _content(pem), mine, mine.keys())
    refuse_taken(registry, parts.paths.certificates, claimant)
    stays = {each.name: wanted(registry, each) for each in registry.of_app(row.app)}
    auth = parts.passwords.needed(row.app)
    await _check_together(parts, Exposed(row.app, gateway, pem, stays | mine, auth))


async def _check_together(parts: Parts, change: Exposed) -> None:
    """What HAProxy would be told once all that goes on is done, and this too."""
    if not any(change.routes.values()):
        return
    check, certificates = parts.gateway.check, parts.paths.certificates
    try:
        await check(planned_config(parts.registry, certificates, change, change.name))
    except UserError:
        try:
            await check(planned_config(parts.registry, certificates, None, change.name))
        except UserError:  # the others do not work by themselves either: no fault of this one
            await check(alone(change))
        else:
            raise


def app_certificate(app: App, request: UpRequest) -> bytes | None:
    """Chain and key of an app whose gateway has TLS: as they were sent, or else as they lie here."""
    tls = app.gateway.tls
    if tls is None:
        return None
    if request.certificate is not None:
        return _judged(combine(request.certificate.encode(), request.certificate.encode()))
    if not is_here(request.file):
        raise UserError(
            f"cannot take {tls.cert} and {tls.key}: gateway.tls of {app.app} was not sent, and files are not read here",
            "send it as `certificate`: chain and key in one PEM text, as `fourfold up` does where it can read them",
        )
    chain, key = (read(beside(request.file, name), "gateway.tls") for name in (tls.cert, tls.key))
    return _judged(combine(chain, key))


def _judged(content: bytes) -> bytes:
    """Raises UserError for one of which nobody could tell when it ends."""
    facts(content)
    return content


def _refuse_worse(content: bytes, served: Path, now: float) -> None:
    """One whose time is not now, in place of one that is valid: the files are not those that were renewed."""
    if (why := unfit(facts(content), now)) and _is_valid(served, now):
        raise UserError(
            f"cannot serve the certificate of gateway.tls: {why}, and the one that is served is valid",
            "put the renewed one where gateway.tls has it; `fourfold certificate show` tells what is served",
        )


def _is_valid(pem: Path, now: float) -> bool:
    try:
        return not unfit(facts(pem.read_bytes()), now)
    except (OSError, UserError):  # none is there, or a damaged one
        return False


@dataclass(frozen=True)
class Claimant:
    """An app that asks for routes. `free`: those of its services that will not have theirs any more."""

    app: str
    gateway: Gateway
    file: str
    certificate: bytes | None
    """Chain and key."""
    routes: Mapping[str, list[Route]]
    free: Collection[str]


def refuse_taken(registry: Registry, certificates: Path, claimant: Claimant) -> None:
    """Routes that others have, are to have, or would have again if the deployment that takes them away fails."""
    address = naming.listen(claimant.gateway.listen)
    for key, row in registry.services.items():
        own = row.app == claimant.app
        gateway = claimant.gateway if own else gateway_of(registry, row.app)
        if (own and row.name in claimant.free) or naming.listen(gateway.listen) != address:
            continue
        theirs = [*wanted(registry, row), *(before(registry, key) if registry.running_deployment(key) else ())]
        if not own and theirs and any(claimant.routes.values()):
            _check_certificates(claimant, gateway, registry.apps[row.app], certificates)
        for name, routes in claimant.routes.items():
            for route in routes:
                if among(route, theirs):
                    raise UserError(
                        f"cannot route {route_text(route)} to {name}: {key} has it on {gateway.listen}",
                        _way_out(claimant, row),
                    )


def _way_out(claimant: Claimant, row: ServiceRow) -> str:
    if row.app != claimant.app:
        return "give one of them another host, path or method, or this app another gateway.listen"
    return (
        f"deploy {row.name} too, or give one of them another path; `fourfold up --prune` removes it if not in the file"
    )


def _check_certificates(claimant: Claimant, other: Gateway, owner: AppRow, certificates: Path) -> None:
    """One address has one certificate: a file, however often it is renewed; of one that was sent, what is in it."""
    mine, theirs = claimant.gateway.tls, other.tls
    if (mine is None) != (theirs is None):
        without, having = (claimant.app, owner.name) if mine is None else (owner.name, claimant.app)
        raise UserError(
            f"cannot listen on {claimant.gateway.listen}: app {having} has TLS there and app {without} has not",
            "give this app another gateway.listen, or the same gateway.tls",
        )
    if mine is None or theirs is None:
        return
    if is_here(claimant.file) and is_here(owner.file):
        files = [beside(claimant.file, name) for name in (mine.cert, mine.key)]
        same, hint = files == [beside(owner.file, name) for name in (theirs.cert, theirs.key)], ""
    else:
        same = claimant.certificate == _content(certificate(certificates, owner.name))
        hint = "; a renewed one for all there: fourfold certificate renew"
    if not same:
        raise UserError(
            f"cannot listen on {claimant.gateway.listen} with this certificate: app {owner.name} uses another there",
            f"give this app another gateway.listen{hint}",
        )


def _content(pem: Path) -> bytes | None:
    return pem.read_bytes() if pem.exists() else None
