"""What `up` and `deploy` do: daemon, pack, send, ask, follow, and say where it can be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fourfold.cli.moving import Pattern, moved
from fourfold.cli.operation import see_through
from fourfold.cli.printing import output
from fourfold.cli.printing.formats import count
from fourfold.cli.printing.progress import Progress
from fourfold.cli.session import Session
from fourfold.cli.upload import check, pack_all, read_file, request, send_all, sources
from fourfold.control.deploying.stagewords import progress

if TYPE_CHECKING:
    from fourfold.control.views import OperationView, StatusView


@dataclass(frozen=True)
class How:
    """What options say."""

    message: str | None = None
    prune: bool = False
    reset: bool = False
    rebuild: bool = False
    pattern: Pattern | None = None
    save: bool = False
    """Write the pattern into the service file."""


def bring(session: Session, services: list[str] | None, how: How) -> int:
    """The exit code."""
    file = read_file(session, services)
    if waits := session.comes_up:
        file.judge()  # meanwhile
    with file.judged():
        wanted = sources(file, services)
    names = list(file.everything) if services is None else services
    moving = list(file.services) if services is None else services
    saves = _saves(session, moving, how.pattern) if how.pattern and how.save else []
    client = session.started_client
    if not waits:
        check(client, file)
    counts = {name: file.everything[name].get("instances", 1) for name in names}
    desired = {name: count if isinstance(count, int) else None for name, count in counts.items()}

    def ask(view: Progress) -> OperationView:
        with file.judged():
            packed = pack_all(file, wanted, session.paths, view)
            send_all(client, packed, view)
            body = moved(request(session, file, packed, services), how.pattern, in_file=how.save)
            body |= {"message": how.message, "prune": how.prune, "reset": how.reset, "rebuild": how.rebuild}
            operation: OperationView = client.post(f"/v1/apps/{file.app}/up", body)
        return operation

    code = see_through(session, ask, desired)
    if code == 0:
        for save in saves:
            save()
    if code == 0 and session.options.wait and not session.options.json:
        _reachable(session, client.get(f"/v1/apps/{file.app}"))
    return code


def _saves(session: Session, services: list[str], pattern: Pattern) -> list[Callable[[], None]]:
    """What writes the pattern into the file, once it is brought about."""
    from fourfold.cli.saving import saving

    return [saving(session, name, "pattern", pattern) for name in services]


def _reachable(session: Session, view: StatusView) -> None:
    """Where it is served on stdout, what to try next on stderr."""
    ready = sum(service.ready for service in view.services)
    groups = [service for service in view.services if service.kind is not None]
    what = [count(len(view.services) - len(groups), "service"), *([count(len(groups), "group")] if groups else [])]
    wanted = sum(service.desired for service in view.services)
    # Of what has not changed nobody waited for: it may be starting (after a reboot), or ending again and again.
    ready_of = f"{ready} of {count(wanted, 'instance')}" if ready < wanted else count(ready, "instance")
    output.data(f"{view.app} is up: {', '.join(what)}, {ready_of} ready")
    width = max((len(service.name) for service in view.services), default=0)
    for service in view.services:
        for url in service.urls:
            output.data(f"  {service.name:<{width}}  {url}")
    for service in view.services:
        if (step := service.deployment.step) is not None:
            output.say(f"{service.name}: still being deployed, {progress(step)}", session.options)
    if view.not_in_file:
        names = ", ".join(view.not_in_file)
        output.say(f"still running, but not in the file: {names} (`fourfold up --prune` removes)", session.options)
    lacking = next((service.name for service in view.services if service.ready < service.desired), "SERVICE")
    output.say(f"next: fourfold status, fourfold logs -f, fourfold explain {lacking}", session.options)
