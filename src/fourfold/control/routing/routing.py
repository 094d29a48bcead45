"""Rows -> what the gateway is to do. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fourfold.control.goals import internal_port, shares
from fourfold.control.registry import Registry, key_of
from fourfold.control.routing.claims import gateway_of, served, wanted
from fourfold.control.routing.passwords import NOBODY, AuthOf
from fourfold.gateway import naming
from fourfold.gateway.model import Auth, Backend, Frontend, GatewayConfig, Limits, Maintenance, Rule, Server
from fourfold.launch.names import service_address
from fourfold.spec.gateway import BasicAuth, Gateway, Route, RouteLimits
from fourfold.store.model import InstanceRow, MaintenanceRow, ServiceRow


@dataclass(frozen=True)
class Exposed:
    """An app as the gateway sees it."""

    name: str
    gateway: Gateway
    certificate: Path
    """Chain and key; read only if its gateway has TLS."""
    routes: Mapping[str, list[Route]]
    """By service."""
    auth: AuthOf


def _nobody(auth: BasicAuth) -> Auth:
    return Auth(auth.realm or "fourfold", NOBODY)


def _nobodies(app: str) -> AuthOf:
    return _nobody


def gateway_config(
    registry: Registry,
    certificates: Path,
    left_out: Collection[str] = (),
    bridge: str | None = None,
    users: Callable[[str], AuthOf] = _nobodies,
) -> GatewayConfig:
    """All apps together, as they are now; without the routes of those `left_out`. `bridge`: its address, if any.

    `users`: of an app, who may pass its routes with passwords.
    """
    routes, backends = served(registry), []
    for key, row in sorted(registry.services.items()):
        if port := internal_port(row, registry.deployments.get(key)):
            sticky = any(route.sticky for route in routes.get(key, ()))
            servers = _servers(registry.of_service(key), shares(registry, key))
            tcp = key not in routes and _speaks_tcp(registry, key, row)
            backends.append(Backend(key, servers, port, sticky, _maintenance(registry, row), tcp))
    names = {backend.name for backend in backends}
    apps = []
    for name in registry.apps.keys() - set(left_out):
        own = {row.name: routes.get(key_of(row), []) for row in registry.of_app(name) if key_of(row) in names}
        apps.append(_exposed(registry, certificates, name, own, users(name)))
    return GatewayConfig(frontends=_frontends(apps), backends=tuple(backends), bridge=bridge)


def _speaks_tcp(registry: Registry, key: str, row: ServiceRow) -> bool:
    """While it is deployed, as soon as the release before or the new one does: then all is passed on as it comes.

    One that has routes yet was HTTP, and is until these go.
    """
    deployment = registry.running_deployment(key)
    releases = {row.release}
    if deployment is not None and deployment.previous:
        releases.add(deployment.previous["release"])
    return any(registry.spec(key, release).protocol == "tcp" for release in releases)


def internal_ports(registry: Registry) -> set[int]:
    """Where services call one another."""
    ports = (internal_port(row, registry.deployments.get(key)) for key, row in registry.services.items())
    return {port for port in ports if port}


def calls(registry: Registry) -> dict[tuple[str, int], int]:
    """(address, port) at which services are called by name from the bridge -> their internal port."""
    found = {}
    for key, row in registry.services.items():
        port = registry.spec(key, row.release).own_port
        if row.internal_port is not None and port is not None:
            found[service_address(row.internal_port), port] = row.internal_port
    return found


def planned_config(registry: Registry, certificates: Path, change: Exposed | None, app: str) -> GatewayConfig:
    """All apps together once everything that goes on is done and `change` is too; None: without `app`."""
    apps = [] if change is None else [change]
    for name in registry.apps.keys() - {app}:
        routes = {row.name: wanted(registry, row) for row in registry.of_app(name)}
        apps.append(_exposed(registry, certificates, name, routes, _nobody))
    ports = {key: row.internal_port for key, row in registry.services.items() if row.internal_port}
    names = {f"{each.name}.{service}" for each in apps for service, found in each.routes.items() if found}
    return GatewayConfig(_frontends(apps), tuple(Backend(name, (), ports.get(name)) for name in sorted(names)))


def _exposed(
    registry: Registry, certificates: Path, name: str, routes: Mapping[str, list[Route]], auth: AuthOf
) -> Exposed:
    return Exposed(name, gateway_of(registry, name), certificate(certificates, name), routes, auth)


def maintenance_of(registry: Registry, row: ServiceRow) -> MaintenanceRow | None:
    """Its own, or that of the whole app."""
    return registry.maintenance.get((row.app, row.name)) or registry.maintenance.get((row.app, ""))


def _maintenance(registry: Registry, row: ServiceRow) -> Maintenance | None:
    if (found := maintenance_of(registry, row)) is None:
        return None
    return Maintenance(found.page, found.content_type, found.retry_after, found.allowed)


def alone(app: Exposed) -> GatewayConfig:
    return GatewayConfig(_frontends([app]), tuple(Backend(f"{app.name}.{name}") for name in sorted(app.routes)))


def _frontends(apps: Iterable[Exposed]) -> tuple[Frontend, ...]:
    """Apps that listen on the same address share a frontend."""
    together: dict[tuple[str, int], list[Exposed]] = {}
    for app in sorted(apps, key=lambda app: app.name):
        if any(app.routes.values()):
            together.setdefault(naming.listen(app.gateway.listen), []).append(app)
    return tuple(_frontend(each) for _, each in sorted(together.items()))


def _frontend(apps: list[Exposed]) -> Frontend:
    named = [(app, f"{app.name}.{name}", routes) for app in apps for name, routes in sorted(app.routes.items())]
    secure = next((app for app in apps if app.gateway.tls is not None), None)
    return Frontend(
        listen=apps[0].gateway.listen,
        rules=tuple(rule(key, route, app.gateway, app.auth) for app, key, routes in named for route in routes),
        certificate=str(secure.certificate) if secure else None,
        redirect=any(app.gateway.redirect for app in apps),
    )


def rule(backend: str, route: Route, gateway: Gateway, auth: AuthOf) -> Rule:
    return Rule(
        backend=backend,
        host=route.host,
        path=route.path,
        methods=route.methods,
        strip=route.strip,
        timeout=route.timeout,
        sticky=route.sticky,
        secure=gateway.tls is not None,
        hsts=gateway.hsts or 0.0,
        limits=_limits(route.limits),
        auth=auth(route.auth) if route.auth is not None else None,
    )


def _limits(given: RouteLimits) -> Limits | None:
    if given.rate is None and given.body is None:
        return None
    rate = given.per_second if given.rate is not None else None
    return Limits(rate, given.most, given.per == "route", given.body)


def _servers(rows: list[InstanceRow], weights: Mapping[str, int]) -> tuple[Server, ...]:
    return tuple(
        Server(row.id, row.reached_at, row.port, draining=row.state == "draining", weight=weights.get(row.id, 1))
        for row in rows
        if row.state in ("ready", "draining") and row.port is not None and row.role == "serve"
    )


def certificate(folder: Path, app: str) -> Path:
    """Where an app's certificate chain and key are kept together, as HAProxy reads them."""
    return folder / f"{app}.pem"
