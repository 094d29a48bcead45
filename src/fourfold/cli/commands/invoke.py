"""`fourfold invoke`: one event for a service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import output
from fourfold.cli.session import Session
from fourfold.errors import UserError, WorldError

if TYPE_CHECKING:
    from fourfold.control.views import InvocationView, QueuedView

MOST_BYTES = 6 * 1024 * 1024
"""Of a payload, as AWS has it."""
MOST_BYTES_LATER = 1024 * 1024
"""With --async."""


def command(
    ctx: click.Context,
    service: Annotated[str, Argument(metavar="SERVICE")],
    data: Annotated[str | None, Option("--data", "-d", metavar="JSON", help="The event.")] = None,
    event_file: Annotated[
        Path | None, Option("--file", metavar="FILE", help="The event is in it; `-` is standard input.")
    ] = None,
    context: Annotated[str, Option("--context", metavar="JSON", help="The client's context.")] = "",
    release: Annotated[
        int | None, Option("--release", min=1, metavar="N", help="That release, where it still runs.")
    ] = None,
    later: Annotated[
        bool, Option("--async", help="Only keep it, and print its id; it is delivered as soon as possible.")
    ] = False,
    tail: Annotated[bool, Option("--tail", help="Print the end of the log too, on standard error.")] = False,
) -> int:
    """Give a service one event, and print its answer.

    The event comes from -d, --file, or standard input; without any it is {}. Exits with 1 when the service failed.
    """
    session = Session.of(ctx)
    if data is not None and event_file is not None:
        raise click.BadParameter("the event comes from -d or from --file, not both", param_hint="-d")
    payload = _checked(data if data is not None else _read(event_file), "the event")
    body = {
        "payload": payload,
        "context": _checked(context, "--context") if context else "",
        "tail": tail,
        "release": release,
    }
    if later:
        return _later(session, service, body)
    view: InvocationView = session.client.post(f"/v1/apps/{session.app}/services/{service}/invoke", body)
    if session.options.json:
        output.as_json(view)
    else:
        _show(view)
    return _code(service, view)


def _later(session: Session, service: str, body: dict[str, Any]) -> int:
    if body["tail"] or body["release"] is not None:
        raise click.BadParameter("nothing is answered, so there is no --tail and no --release", param_hint="--async")
    if len(body["payload"].encode()) > MOST_BYTES_LATER:
        raise UserError("cannot send the event: it is larger than 1 MiB", "put it into a bucket")
    kept = {"payload": body["payload"], "context": body["context"]}
    view: QueuedView = session.client.post(f"/v1/apps/{session.app}/services/{service}/invoke-later", kept)
    if session.options.json:
        output.as_json(view)
    else:
        output.data(view.id)
        output.say(f"kept; given up, it is told by: fourfold events --failed {service}", session.options)
    return 0


def _show(view: InvocationView) -> None:
    """The payload as it came; the log, with its REPORT line, on standard error."""
    sys.stdout.write(view.payload + ("" if view.payload.endswith("\n") or not view.payload else "\n"))
    sys.stdout.flush()
    if view.log:
        print(view.log.rstrip("\n"), file=sys.stderr)


def _code(service: str, view: InvocationView) -> int:
    if view.status == 429:
        raise WorldError(
            f"cannot invoke {service}: it has as many events as it takes at once", "raise function.concurrency, or wait"
        )
    if view.status != 200:
        raise WorldError(f"cannot invoke {service}: it cannot run now", f"see: fourfold explain {service}")
    return 1 if view.error else 0


def _read(file: Path | None) -> str:
    if file is None:
        return "{}" if sys.stdin.isatty() else sys.stdin.buffer.read().decode(errors="replace") or "{}"
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the event in {file}: {error.strerror}") from error
    return content.decode(errors="replace")


def _checked(text: str, what: str) -> str:
    if len(text.encode()) > MOST_BYTES:
        raise UserError(f"cannot send {what}: it is larger than {MOST_BYTES // 1024**2} MiB", "put it into a bucket")
    try:
        json.loads(text)
    except ValueError as error:
        hint = """give JSON such as '{"key": "value"}'"""
        raise UserError(f"cannot send {what}: it is not JSON: {error}", hint) from error
    return text
