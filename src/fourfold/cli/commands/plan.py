"""`fourfold plan`: what `up` would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.moving import As, moved
from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import Action, ChangeView, PlanView

MARKS: dict[Action, str] = {
    "create": "+", "start": "+", "deploy": "~", "scale": "~", "restart": "~", "stop": "-", "remove": "-",
    "not-in-file": "?",
}  # fmt: skip


def command(
    ctx: click.Context,
    services: Annotated[list[str] | None, Argument(metavar="SERVICE")] = None,
    pattern: As = None,
    prune: Annotated[bool, Option("--prune", help="As with `up --prune`.")] = False,
    reset: Annotated[bool, Option("--reset", help="As with `up --reset`.")] = False,
    detailed: Annotated[bool, Option("--detailed-exitcode", help="0 nothing to do, 1 error, 2 changes.")] = False,
) -> int:
    """Show what `up` would do, and why. Changes nothing."""
    from fourfold.cli.printing.progress import Progress
    from fourfold.cli.printing.steps import Steps
    from fourfold.cli.upload import check, pack_all, read_file, request, send_all, sources
    from fourfold.errors import FourfoldError

    session = Session.of(ctx)
    try:
        file = read_file(session, services or None)
        client = session.started_client
        check(client, file)
        progress = Progress(Steps({}))
        with file.judged():
            packed = pack_all(file, sources(file, services or None), session.paths, progress)
            send_all(client, packed, progress)  # whether it can be built is told from its files
            body = moved(request(session, file, packed, services or None), pattern)
            view: PlanView = client.post(f"/v1/apps/{file.app}/plan", {**body, "prune": prune, "reset": reset})
    except FourfoldError as error:
        if not detailed:
            raise
        output.error(error, session.options)
        return 1  # 2 says here that there are changes
    if session.options.json:
        output.as_json(view)
    else:
        output.data("\n".join(page(view)))
    return 2 if detailed and not _is_empty(view) else 0


def _is_empty(view: PlanView) -> bool:
    return all(change.action in ("keep", "not-in-file") for change in view.changes)


def page(view: PlanView) -> list[str]:
    changing = [change for change in view.changes if change.action != "keep"]
    rows = [_row(change) for change in changing]
    lines = formats.table(("", "SERVICE", "ACTION", "WHY"), rows) if rows else []
    kept = [change.service for change in view.changes if change.action == "keep"]
    if kept:
        lines.append(f"unchanged: {', '.join(kept)}")
    lines += [_override(change) for change in view.changes if change.overrides]
    return ["nothing to do", *lines] if _is_empty(view) else lines


def _row(change: ChangeView) -> tuple[str, ...]:
    release = f" (release {change.release} now)" if change.release is not None else ""
    why = ", ".join(change.reasons)
    if change.action == "create":
        why = why or formats.count(change.instances, "instance")
    if change.strategy is not None:
        why = f"{why}; {change.strategy}"
    if change.action == "not-in-file":
        why = why or "still runs; `fourfold up --prune` removes it"
    return MARKS[change.action], change.service, change.action, why + release


def _override(change: ChangeView) -> str:
    said = ", ".join(f"{key} {value}" for key, value in change.overrides.items())
    return f"{change.service} keeps what a command set: {said} (`fourfold up --reset` forgets)"
