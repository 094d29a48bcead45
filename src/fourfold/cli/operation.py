"""See a change through: ask for it, follow its events to the end, say how it ended and what to do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fourfold.cli.link.client import Client, LostError, NoDaemonError, QuietError
from fourfold.cli.link.following import BACK_WITHIN, until_back
from fourfold.cli.printing import formats, output
from fourfold.cli.printing.progress import Progress, progress
from fourfold.cli.printing.steps import ENDED, Step, Steps
from fourfold.cli.session import Session
from fourfold.errors import FourfoldError, UserError, WorldError

if TYPE_CHECKING:
    from fourfold.control.views import EventView, ExplainView, OperationView, StatusView

AGAIN = 0.5
"""Seconds until a daemon is asked again whose store has refused."""
WELL = 5.0
"""Seconds without a refusal, after which the store takes things: what it refuses is tried again each second."""


def change(session: Session, path: str, body: Mapping[str, Any], services: Iterable[str] = ()) -> int:
    """A change that needs nothing but one request."""

    def ask(view: Progress) -> OperationView:
        operation: OperationView = session.client.post(path, {**body, "actor": session.actor})
        return operation

    return see_through(session, ask, dict.fromkeys(services))


def see_through(session: Session, ask: Callable[[Progress], OperationView], desired: Mapping[str, int | None]) -> int:
    """Ask for a change, follow it (unless --detach), print how it ended; the exit code.

    `desired` is what is known of each service's number of instances. Raises WorldError when the change failed,
    UserError when that was its input's fault.
    """
    options = session.options
    steps = Steps(desired)
    operation: OperationView | None = None
    try:
        with progress(steps, options) as view:
            operation = ask(view)
            if not options.wait:
                return detached(session, operation)
            if operation.waiting_for:
                view.notice("; ".join(filter(None, (f"waiting for {operation.waiting_for}", operation.hint))))
            for event in follow(session.client, operation, options.timeout):
                view.event(event)
    except KeyboardInterrupt:
        return interrupted(session, operation)
    return _ended(session, operation, steps)


def follow(client: Client, operation: OperationView, timeout: float | None) -> Iterator[EventView]:
    """Events of the operation up to its last. Goes on where it was when the daemon is restarted meanwhile.

    Raises WorldError when it has not ended within `timeout` seconds, the daemon does not come back, or its store goes
    on taking no events.
    """
    deadline = time.monotonic() + timeout if timeout is not None else None
    after = operation.after
    refused: float | None = None
    while True:
        asked = time.monotonic()
        try:
            left = None if deadline is None else max(0.001, deadline - time.monotonic())
            for event in client.events(operation=operation.id, after=after, read_timeout=left):
                after, refused = event.seq, None
                yield event
                if event.kind in ENDED:
                    return
                if deadline is not None and time.monotonic() > deadline:
                    raise QuietError("cannot wait longer")
            until_back(client)  # the stream has ended and the operation has not: the daemon is ending
        except QuietError:
            raise WorldError(
                f"cannot see the {operation.kind} of {operation.app} end: it takes longer than {timeout:g} s",
                f"it goes on; follow it: {_following(operation)}",
            ) from None
        except (LostError, NoDaemonError):
            until_back(client)
        except WorldError as error:  # the store takes no events: its disk is full, somebody locks it
            now = time.monotonic()
            if refused is None or now - asked > WELL:
                refused = now
            if now - refused > BACK_WITHIN:
                raise WorldError(
                    f"cannot see the {operation.kind} of {operation.app} end: {error.what}",
                    f"mend that, then see what it came to: {_following(operation)}",
                ) from error
            time.sleep(AGAIN)


def _following(operation: OperationView) -> str:
    return f"fourfold events -f --operation {operation.id}"


def detached(session: Session, operation: OperationView) -> int:
    if session.options.json:
        output.as_json(operation)
    else:
        output.data(operation.id)
        output.say(f"accepted; follow it: {_following(operation)}", session.options)
    return 0


def interrupted(
    session: Session, operation: OperationView | None, ending: str = "", ended: str = "nothing was changed"
) -> int:
    """`ending`: what a cancelled one still does, while the command waits; `ended`: how it is then."""
    print(file=sys.stderr)  # after the terminal's ^C
    if operation is not None and ending:
        output.say(f"interrupted: {ending}", session.options)
    if operation is None or _cancelled(session, operation):
        output.say(f"interrupted: {ended}", session.options)
    else:
        output.say(f"interrupted: the {operation.kind} of {operation.app} goes on in the daemon", session.options)
        output.say(f"follow it: {_following(operation)}", session.options)
    return 130


def _cancelled(session: Session, operation: OperationView) -> bool:
    """Whether it waited or built, and does so no more. What has changed something goes on to its end."""
    try:
        session.client.ask("POST", f"/v1/operations/{operation.id}/cancel", {"actor": session.actor})
    except FourfoldError:
        return False
    return True


def _ended(session: Session, operation: OperationView, steps: Steps) -> int:
    explained = [(step, _explain(session, operation.app, step)) for step in steps.failed]
    ok = steps.outcome == "done" and not explained
    if session.options.json:
        views = [view for _, view in explained if view is not None]
        output.as_json(
            {
                "operation": operation,
                "state": "done" if ok else "failed",
                "reason": _reason(operation, steps),
                "failures": views,
                "status": _status(session, operation.app),
            }
        )
    if ok:
        return 0
    for step, view in explained:
        if not step.unbegun:
            _print_failure(session, step, view)
    kind = UserError if steps.exit_code == UserError.exit_code else WorldError
    raise kind(_reason(operation, steps) or "cannot tell how it ended", steps.hint or _hint(operation, steps))


def _reason(operation: OperationView, steps: Steps) -> str | None:
    if steps.reason or not steps.failed:
        return steps.reason
    services = "; ".join(f"{step.name} {step.text}" for step in steps.failed)
    return f"cannot finish the {operation.kind} of {operation.app}: {services}"


def _hint(operation: OperationView, steps: Steps) -> str:
    if not steps.failed:
        return f"see: fourfold status -a {operation.app}"
    name = steps.failed[0].name
    return f"see: fourfold explain {name} -a {operation.app}"


def _explain(session: Session, app: str, step: Step) -> ExplainView | None:
    try:
        view: ExplainView = session.client.get(f"/v1/apps/{app}/services/{step.name}/explain")
        return view
    except FourfoldError:
        return None  # a first build that failed has left no service to explain


def _status(session: Session, app: str) -> StatusView | None:
    try:
        view: StatusView = session.client.get(f"/v1/apps/{app}")
        return view
    except FourfoldError:
        return None  # after `down` there is none


def _print_failure(session: Session, step: Step, view: ExplainView | None) -> None:
    """Findings and last lines, on stderr; the error after them names the reason. Of a build that failed, its own: what
    runs has not changed."""
    options = session.options
    view = None if step.unbuilt else view
    reason = (view.deployment.reason if view else None) or ""
    findings = [each.replace(f": {reason};", ";") for each in view.findings] if view else []
    findings = findings or [step.text]
    lines = [f"{output.paint(step.name, 'bold', options, sys.stderr)}:", *(f"  {finding}" for finding in findings)]
    if last := (view.last_lines if view else []) or list(step.build_lines):
        lines += ["  last lines:", *formats.quoted(last)]
    do = output.paint("do:", "cyan", options, sys.stderr)
    lines += [f"  {do} {advice}" for advice in (view.what_to_do if view else [])]
    print("\n".join(lines), file=sys.stderr)
