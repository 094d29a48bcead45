"""Sample values of what the API answers."""

from __future__ import annotations

from typing import Any

from fourfold.control import views as v
from fourfold.control.access import TokenView

AT = "2026-11-22T08:00:00Z"


def instance(ident: str, release: int, **changes: Any) -> v.InstanceView:
    values: dict[str, Any] = {
        "id": ident,
        "release": release,
        "pattern": "process",
        "state": "ready",
        "address": "127.0.0.1:41001",
        "pid": 4242,
        "host": None,
        "restarts": 0,
        "started_at": AT,
        "ready_after": 0.41,
        "cpu_seconds": 1.2,
        "memory_bytes": 31457280,
        "exit": None,
    }
    return v.InstanceView(**(values | changes))


def service(name: str, **changes: Any) -> v.ServiceView:
    values: dict[str, Any] = {
        "name": name,
        "pattern": "process",
        "target": "local",
        "release": 3,
        "desired": 2,
        "ready": 2,
        "stopped": False,
        "overrides": {},
        "deployment": v.DeploymentView(state="done", reason=None),
        "routes": [f"/{name}"],
        "urls": [f"http://127.0.0.1:8080/{name}"],
        "limits_missing": {},
        "instances": [instance(f"shop.{name}-3-k7f2", 3), instance(f"shop.{name}-3-p0q1", 3, pid=4243)],
    }
    return v.ServiceView(**(values | changes))


def status(*services: v.ServiceView) -> v.StatusView:
    return v.StatusView(
        app="shop",
        gateway="http://127.0.0.1:8080",
        daemon=v.DaemonView(pid=811, version="0.1.0"),
        file="/srv/shop/fourfold.yaml",
        services=list(services) or [service("catalog")],
        not_in_file=[],
    )


def event(seq: int, kind: str, message: str, **changes: Any) -> v.EventView:
    values: dict[str, Any] = {
        "seq": seq,
        "at": AT,
        "app": "shop",
        "service": None,
        "instance": None,
        "kind": kind,
        "message": message,
        "actor": None,
        "data": {},
    }
    return v.EventView(**(values | changes))


def exited(**changes: Any) -> v.ExitView:
    return v.ExitView(**({"code": 3, "signal": None, "oom": False, "at": AT, "reason": "exit code 3"} | changes))


def run_view(**given: Any) -> v.RunView:
    fields: dict[str, Any] = {
        "id": "shop.nightly-1-abcde", "service": "nightly", "release": 1, "pattern": "process", "source": "run",
        "actor": "ann", "state": "failed", "attempts": 1, "created_at": AT, "ended_at": AT, "seconds": 2.0, "code": 7,
        "reason": "exit code 7",
    }  # fmt: skip
    return v.RunView(**(fields | given))


def token_view(name: str, role: Any, app: str | None = None) -> TokenView:
    return TokenView(
        name=name, role=role, app=app, created_by="ann", created_at=AT, expires_at=None, expired=False, used_at=None
    )
