"""What `up` and `deploy` do: daemon, pack, send, ask, follow, and say where it can be reached."""

from __future__ import annotations

from fourfold.cli import output
from fourfold.cli.formats import count
from fourfold.cli.operation import see_through
from fourfold.cli.progress import Progress
from fourfold.cli.session import Session
from fourfold.cli.upload import load_file, pack_all, request, send_all, sources
from fourfold.control.views import OperationView, StatusView


def bring(
    session: Session, services: list[str] | None, *, message: str | None, prune: bool, reset: bool, rebuild: bool
) -> int:
    """The exit code. Everything that can be refused without the daemon is refused before it is asked."""
    loaded = load_file(session)
    wanted = sources(loaded, services)
    app = loaded.app
    client = session.started_client
    desired = {name: app.services[name].instances for source in wanted for name in source.services}

    def ask(view: Progress) -> OperationView:
        packed = pack_all(loaded, wanted, view)
        send_all(client, packed, view)
        body = request(session, loaded, packed, services)
        body = body.model_copy(update={"message": message, "prune": prune, "reset": reset, "rebuild": rebuild})
        return client.post(OperationView, f"/v1/apps/{app.app}/up", body.model_dump(mode="json"))

    code = see_through(session, ask, desired)
    if code == 0 and session.options.wait and not session.options.json:
        _reachable(session, client.get(StatusView, f"/v1/apps/{app.app}"))
    return code


def _reachable(session: Session, view: StatusView) -> None:
    """Where it is served on stdout, what to try next on stderr."""
    ready = sum(service.ready for service in view.services)
    output.data(f"{view.app} is up: {count(len(view.services), 'service')}, {count(ready, 'instance')} ready")
    width = max((len(service.name) for service in view.services), default=0)
    for service in view.services:
        for url in service.urls:
            output.data(f"  {service.name:<{width}}  {url}")
    if view.not_in_file:
        names = ", ".join(view.not_in_file)
        output.say(f"still running, but not in the file: {names} (`fourfold up --prune` removes)", session.options)
    output.say("next: fourfold status, fourfold logs -f, fourfold explain SERVICE", session.options)
