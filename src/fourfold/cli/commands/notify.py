"""`fourfold notify`: how webhooks do, and a test of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import click

from fourfold.cli.parameters import Argument
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import HookTestView, HookView

COUNTS = frozenset({"DELIVERED", "GIVEN UP"})


def command(
    ctx: click.Context,
    what: Annotated[Literal["test"] | None, Argument(metavar="[test]")] = None,
) -> int:
    """Show where the app's events are sent to (`notify` in its file), and whether they are taken.

    `notify test` sends each a test event, and exits with 1 when one does not take it.
    """
    session = Session.of(ctx)
    path = f"/v1/apps/{session.app}/hooks"
    if what == "test":
        return _test(session, session.client.post(f"{path}/test", {"actor": session.actor}))
    hooks: list[HookView] = session.client.get(path)
    if session.options.json:
        output.as_json(hooks)
    elif hooks:
        output.data("\n".join(table(hooks)))
    else:
        _say_none(session)
    return 0


def _say_none(session: Session) -> None:
    output.say(f"{session.app} has no webhooks: `notify` in its file says where events are sent to", session.options)


def table(hooks: list[HookView]) -> list[str]:
    header = ("WEBHOOK", "ON", "FORMAT", "SIGNED", "DELIVERED", "GIVEN UP", "STATE")
    now = formats.utc_now()
    rows = [
        (
            hook.host,
            ", ".join(hook.on),
            hook.format,
            "yes" if hook.signed else "no",
            str(hook.delivered),
            str(hook.given_up),
            "ok"
            if hook.failing_since is None
            else f"failing since {formats.clock(hook.failing_since, now)}: {hook.error}",
        )
        for hook in hooks
    ]
    return formats.table(header, rows, COUNTS)


def _test(session: Session, results: list[HookTestView]) -> int:
    if session.options.json:
        output.as_json(results)
    elif not results:
        _say_none(session)
    else:
        for result in results:
            output.data(f"{result.host}  {result.error or 'ok'}")
    return 1 if any(result.error for result in results) else 0
