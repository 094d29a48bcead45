"""Which role each route asks for, and how much a request may carry there. A test sees that no route is missing.

Over the Unix socket, which only its owner opens, everybody is admin.
"""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.store.tables.tokens import AccessRole

ORDER: tuple[AccessRole, ...] = ("read", "deploy", "admin")

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Of everything that a path can name: apps, services, runs, operations, tokens, digests."""
MOST_NAME = 200

MIB = 1024 * 1024
SMALL = MIB
SPEC = 16 * MIB
"""A service file as JSON, with the certificates of its gateway."""
EVENT = 40 * MIB
"""An event of 6 MiB as a JSON string: each of its bytes may be written as `\\u0000`."""
MANIFEST = 32 * MIB
"""A source of as many files as one may have, with paths of 200 letters."""
VALUES = 50_000
"""Of a body's JSON: a service file of a megabyte has fewer."""
BULK = 800_000
"""With those of the one key that may have more: files of a source, hours of a few years of some services."""
DEPTH = 64
"""Levels of JSON; a service file may have 50."""


@dataclass(frozen=True)
class Rule:
    role: AccessRole
    body: int | None = SMALL
    """Bytes; None: as they come, bounded by whoever takes them in pieces."""
    bulk: str | None = None
    """The key of the body that may have many values."""
    any_app: bool = False
    """Also for a token that is good for one app, though the path names none: `acting` sees to it that it learns of and
    changes its own only."""


READ, DEPLOY, ADMIN = (Rule(role) for role in ORDER)

APP = "/v1/apps/{app}"
SERVICE = f"{APP}/services/{{service}}"

RULES: dict[str, Rule] = {
    "GET /v1/info": Rule("read", any_app=True),
    "GET /v1/top": Rule("read", any_app=True),
    "GET /v1/doctor": READ,
    "POST /v1/gc": ADMIN,
    "POST /v1/backup": ADMIN,
    "POST /v1/shutdown": ADMIN,
    "GET /v1/tokens": ADMIN,
    "POST /v1/tokens": ADMIN,
    "DELETE /v1/tokens/{token}": ADMIN,
    "GET /v1/events": Rule("read", any_app=True),
    "POST /v1/operations/{operation}/cancel": Rule("deploy", any_app=True),
    "POST /v1/sources": Rule("deploy", MANIFEST, bulk="entries", any_app=True),
    "POST /v1/blobs": Rule("deploy", None, any_app=True),
    "GET /metrics": READ,
    "POST /v1/builds": Rule("deploy", None),
    "GET /v1/builds": READ,
    "GET /v1/builds/{build}": READ,
    "DELETE /v1/builds/{build}": DEPLOY,
    "GET /v1/builds/{build}/artifact": DEPLOY,
    "GET /v1/artifacts/{digest}": DEPLOY,
    "GET /v1/apps": Rule("read", any_app=True),
    f"GET {APP}": READ,
    f"GET {APP}/history": READ,
    f"GET {APP}/routes": READ,
    f"GET {APP}/cost": READ,
    f"GET {APP}/usage": READ,
    f"GET {APP}/runs": READ,
    f"GET {APP}/runs/{{run}}/follow": READ,
    f"GET {APP}/failed-events": READ,
    f"GET {APP}/logs": READ,
    f"GET {APP}/hooks": READ,
    f"GET {APP}/certificate": READ,
    f"PUT {APP}/certificate": DEPLOY,
    f"PUT {APP}/maintenance": DEPLOY,
    f"DELETE {APP}/maintenance": DEPLOY,
    f"POST {APP}/hooks/test": DEPLOY,
    f"GET {APP}/secrets": READ,
    f"PUT {APP}/secrets": Rule("admin", SPEC),
    f"DELETE {APP}/secrets": ADMIN,
    f"POST {APP}/check": Rule("deploy", SPEC),
    f"POST {APP}/plan": Rule("deploy", SPEC),  # it needs the sources that are sent for it
    f"POST {APP}/cost": READ,
    f"POST {APP}/advice": Rule("read", SPEC, bulk="usage"),
    f"POST {APP}/up": Rule("deploy", SPEC),
    f"POST {APP}/down": DEPLOY,  # with `purge` admin: `api.network.acting`
    f"POST {APP}/restart": DEPLOY,
    f"POST {APP}/scale": DEPLOY,
    f"POST {APP}/stop": DEPLOY,
    f"POST {APP}/build": Rule("deploy", SPEC),
    f"POST {APP}/artifact": Rule("deploy", SPEC),
    f"POST {APP}/image": Rule("deploy", SPEC),
    f"POST {APP}/disk": Rule("deploy", SPEC),
    f"POST {APP}/push": Rule("deploy", SPEC),
    f"POST {APP}/failed-events/replay": DEPLOY,
    f"GET {SERVICE}/explain": READ,
    f"GET {SERVICE}/comparison": READ,
    f"POST {SERVICE}/compare": Rule("deploy", SPEC),
    f"POST {SERVICE}/scale": DEPLOY,
    f"POST {SERVICE}/rollback": DEPLOY,
    f"POST {SERVICE}/promote": DEPLOY,
    f"POST {SERVICE}/abort": DEPLOY,
    f"POST {SERVICE}/runs": DEPLOY,
    f"POST {SERVICE}/invoke": Rule("deploy", EVENT),
    f"POST {SERVICE}/invoke-later": Rule("deploy", EVENT),
    f"WEBSOCKET {SERVICE}/run": DEPLOY,
    f"WEBSOCKET {SERVICE}/exec": ADMIN,
    "GET /openapi.json": Rule("read", any_app=True),
}


def allows(role: AccessRole, asked: AccessRole) -> bool:
    return ORDER.index(role) >= ORDER.index(asked)
