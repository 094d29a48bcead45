"""`fourfold explain`: why a service is not well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Argument
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import ExplainView, PastExitView


def command(ctx: click.Context, service: Annotated[str, Argument(metavar="SERVICE")]) -> None:
    """Say why a service is not well, and what to do."""
    session = Session.of(ctx)
    view: ExplainView = session.client.get(f"/v1/apps/{session.app}/services/{service}/explain")
    if session.options.json:
        output.as_json(view)
        return
    output.data(output.paint(view.summary, "green" if view.well else "red", session.options))
    output.data("\n".join(_details(view)))


def _exit(ended: PastExitView) -> str:
    asked = ", when it was stopped" if ended.asked else ""
    return f"{formats.clock(ended.at, formats.utc_now())}  {ended.instance}: {ended.reason}{asked}"


def _details(view: ExplainView) -> list[str]:
    lines = [f"  - {finding}" for finding in view.findings]
    reason = f": {view.deployment.reason}" if view.deployment.reason else ""
    lines.append(f"last deploy: {view.deployment.state}{reason}")
    if view.probe_error:
        lines.append(f"health probe: {view.probe_error}")
    if view.exits:
        lines += ["last exits:", *(f"  {_exit(item)}" for item in view.exits)]
    if view.last_lines:
        lines += [f"last lines of {view.last_lines_of}:", *formats.quoted(view.last_lines)]
    if view.what_to_do:
        lines += ["what to do:", *(f"  - {advice}" for advice in view.what_to_do)]
    return lines
