"""`deploy --promote` and `--abort`: decide about a deployment that is under way, and see what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from fourfold.cli.operation import detached, follow, interrupted
from fourfold.cli.printing import output
from fourfold.cli.printing.progress import progress
from fourfold.cli.printing.steps import Steps
from fourfold.cli.session import Session
from fourfold.errors import WorldError

if TYPE_CHECKING:
    from fourfold.control.views import EventView, OperationView, StatusView

Ends: TypeAlias = "Callable[[EventView], bool]"


def promote(session: Session, service: str, full: bool) -> int:
    """Until it is deployed, or at a step that somebody must promote again."""

    def ends(event: EventView) -> bool:
        waits = event.kind == "deploy.step" and "pause" in event.data and event.data["pause"] is None
        return waits or event.kind in ("deploy.done", "deploy.rolled-back")

    return _decide(session, service, "promote", {"full": full}, ends, ("done", "running"))


def abort(session: Session, service: str) -> int:
    """Until what was before serves alone again."""
    return _decide(session, service, "abort", {}, lambda event: event.kind == "deploy.rolled-back", ("rolled-back",))


def _decide(session: Session, service: str, what: str, body: dict[str, Any], ends: Ends, well: tuple[str, ...]) -> int:
    """`well`: states of the deployment that were asked for."""
    steps = Steps({service: None})
    operation: OperationView | None = None
    try:
        with progress(steps, session.options) as view:
            path = f"/v1/apps/{session.app}/services/{service}/{what}"
            operation = session.client.post(path, {**body, "actor": session.actor})
            if not session.options.wait:
                return detached(session, operation)
            for event in follow(session.client, operation, session.options.timeout):
                view.event(event)
                if event.service == service and ends(event):
                    break
    except KeyboardInterrupt:
        return interrupted(session, operation)
    return _ended(session, service, what, well)


def _ended(session: Session, service: str, what: str, well: tuple[str, ...]) -> int:
    """As the service stands now: others of the same operation may go on."""
    status: StatusView = session.client.get(f"/v1/apps/{session.app}")
    deployment = next((each.deployment for each in status.services if each.name == service), None)
    if session.options.json:
        output.as_json(status)
    # The first deployment of a service leaves nothing behind that could be gone back to.
    gone = what == "abort" and deployment is not None and deployment.state == "failed"
    if deployment is not None and (deployment.state in well or gone):
        return 0
    state = "it is not there any more" if deployment is None else deployment.reason or f"it is {deployment.state}"
    raise WorldError(f"cannot {what} the deployment of {service}: {state}", f"see: fourfold explain {service}")
