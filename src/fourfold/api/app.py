"""The API as a FastAPI application over a `Facade`: one router per resource, errors in one shape."""

from __future__ import annotations

from fastapi import FastAPI

from fourfold import __version__
from fourfold.api import errors
from fourfold.api.bounds import Bounds
from fourfold.api.resource import Application
from fourfold.api.resources import (
    advice,
    apps,
    backups,
    bakes,
    builds,
    comparisons,
    events,
    exec,
    gateway,
    hooks,
    logs,
    machine,
    operations,
    runs,
    secrets,
    services,
    sources,
    tokens,
)
from fourfold.api.streams import Streams
from fourfold.control.facade import Facade

DESCRIPTION = f"""\
What the `fourfold` command talks to, on a Unix socket that only its owner can open; over TLS where `api_listen` is set,
with `Authorization: Bearer` and a token of role read, deploy or admin.

Times are RFC 3339 in UTC, sizes bytes, durations seconds. Every error has the same body: `error` (one sentence),
`hint` (what to do) and, for a service file that is refused, `problems`. A change is accepted as an *operation*:
follow it with `GET /v1/events?operation=ID&follow=true` until `operation.done` or `operation.failed`.

### WebSockets

{exec.PROTOCOL}
"""


def create_app(facade: Facade) -> FastAPI:
    """The application. `app.state.streams.close()` ends what follows events or logs; `serve` calls it."""
    app = Application(
        title="Fourfold",
        version=__version__,
        description=DESCRIPTION,
        redoc_url=None,
        docs_url=None,
        redirect_slashes=False,
    )
    app.state.facade = facade
    app.state.streams = Streams()
    errors.install(app)
    for resource in (
        machine,
        apps,
        bakes,
        builds,
        services,
        comparisons,
        advice,
        operations,
        events,
        runs,
        logs,
        secrets,
        hooks,
        gateway,
        sources,
        tokens,
        backups,
        exec,
    ):
        app.router.routes += resource.router.routes
    app.add_middleware(Bounds, api=app)
    return app
