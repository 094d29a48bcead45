"""Rows -> what the gateway is to do. Pure."""

from __future__ import annotations

from pathlib import Path

from fourfold.control.registry import Registry
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule, Server
from fourfold.spec.model import Gateway, Route
from fourfold.store.model import InstanceRow


def gateway_config(registry: Registry, certificates: Path) -> GatewayConfig:
    """All apps together. Apps that listen on the same address share a frontend."""
    rules: dict[str, list[Rule]] = {}
    backends = []
    for key, row in sorted(registry.services.items()):
        if row.internal_port is None:
            continue
        backends.append(Backend(key, _servers(registry.of_service(key)), row.internal_port))
        listen = Gateway.model_validate(registry.apps[row.app].gateway).listen
        routes = [] if row.removed else registry.spec(key, row.release).route  # another may have its routes already
        if routes:
            rules.setdefault(listen, []).extend(rule(key, route) for route in routes)
    frontends = (_frontend(registry, listen, tuple(found), certificates) for listen, found in sorted(rules.items()))
    return GatewayConfig(frontends=tuple(frontends), backends=tuple(backends))


def rule(backend: str, route: Route) -> Rule:
    return Rule(
        backend=backend,
        host=route.host,
        path=route.path,
        methods=route.methods,
        strip=route.strip,
        timeout=route.timeout,
    )


def _servers(rows: list[InstanceRow]) -> tuple[Server, ...]:
    return tuple(
        Server(row.id, "127.0.0.1", row.port, draining=row.state == "draining")
        for row in rows
        if row.state in ("ready", "draining") and row.port is not None and row.role == "serve"
    )


def _frontend(registry: Registry, listen: str, rules: tuple[Rule, ...], certificates: Path) -> Frontend:
    for app in sorted(registry.apps):
        gateway = Gateway.model_validate(registry.apps[app].gateway)
        if gateway.listen == listen and gateway.tls is not None:
            return Frontend(listen, rules, certificate=str(certificate(certificates, app)), redirect=gateway.redirect)
    return Frontend(listen, rules)


def certificate(folder: Path, app: str) -> Path:
    """Where an app's certificate chain and key are kept together, as HAProxy reads them."""
    return folder / f"{app}.pem"
