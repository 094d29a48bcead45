"""What is seen while a restored home comes up: builds, what gets ready, what does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fourfold.cli.link.client import Client, QuietError
from fourfold.cli.printing import output
from fourfold.cli.printing.steps import ENDED
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import EventView, ServiceView, StatusView

PATIENCE = 600.0
"""Seconds without anything that happens."""
LOOK_EVERY = 1.0
SHOWN = ("build.started", "build.done", "build.failed", "instance.ready", "daemon.restored", *ENDED)


def await_services(session: Session, client: Client, apps: Sequence[str], after: int) -> list[str]:
    """Until all that is to run does, or cannot: the services that do not run or are not served, as `app.service`."""
    begun = quiet = time.monotonic()
    limit = session.options.timeout
    failed: set[str] = set()
    under_way = {app for app in apps if _wanted(client, app)}
    while True:
        for event in _new(client, after):
            after, quiet = event.seq, time.monotonic()
            if event.kind in SHOWN:
                output.say(f"{event.app or ''}: {event.message}".removeprefix(": "), session.options)
            if event.kind == "build.failed":
                failed.add(f"{event.app}.{event.service}")
            if event.kind in ENDED and event.actor == "restore" and event.app is not None:
                under_way.discard(event.app)  # its routes are served too
        wanted = {f"{app}.{each.name}": each for app in apps for each in _wanted(client, app)}
        missing = [name for name, each in wanted.items() if each.ready < each.desired]
        if not under_way and all(name in failed or _is_given_up(wanted[name]) for name in missing):
            break
        now = time.monotonic()
        if now - quiet > PATIENCE or (limit is not None and now - begun > limit):
            break
    if missing:
        output.say(f"not up: {', '.join(missing)}; see `fourfold explain NAME -a APP`", session.options)
    unserved = [name for app in apps for name in _unserved(session, client, app) if name not in missing]
    if not missing and not unserved:
        output.say("all services are up", session.options)
    return [*missing, *unserved]


def _new(client: Client, after: int) -> list[EventView]:
    """What happens within a second."""
    found: list[EventView] = []
    try:
        for event in client.events(after=after, read_timeout=LOOK_EVERY):
            found.append(event)
            if event.kind in SHOWN:
                break
    except QuietError:
        pass
    return found


def _wanted(client: Client, app: str) -> list[ServiceView]:
    """Services that are to run."""
    status: StatusView = client.get(f"/v1/apps/{app}")
    return [each for each in status.services if not each.stopped]


def _is_given_up(service: ServiceView) -> bool:
    """Its deployment failed, as it did before the backup or does now, with nothing to go back to: nothing starts it."""
    return service.deployment.state == "failed" and not service.instances


def _unserved(session: Session, client: Client, app: str) -> list[str]:
    """Services whose routes the gateway does not serve; it is said why."""
    status: StatusView = client.get(f"/v1/apps/{app}")
    if not (why := status.gateway_problem):
        return []
    output.say(f"the gateway does not serve {app}: {why}; see `fourfold explain NAME -a {app}`", session.options)
    return [f"{app}.{each.name}" for each in status.services if each.routes and not each.stopped]
