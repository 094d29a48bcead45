"""`fourfold maintenance`: a page in place of services, for as long as they are worked on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click

from fourfold.cli.parameters import Argument, Commands, Option
from fourfold.cli.printing import output
from fourfold.cli.session import Session
from fourfold.errors import NotFoundError, UserError

command = Commands("Answer a page in place of services while they are worked on.")

_TYPES = {".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".json": "application/json"}
_Services = Annotated[list[str] | None, Argument(metavar="SERVICE")]


@command.add("on")
def on(
    ctx: click.Context,
    services: _Services = None,
    page: Annotated[Path | None, Option("--page", metavar="FILE", help="What is answered: .html or text.")] = None,
    retry_after: Annotated[
        str, Option("--retry-after", metavar="TIME", help="When clients are told to try again, such as 10m.")
    ] = "1m",
    allow: Annotated[
        list[str] | None,
        Option("--allow", metavar="NETWORK", help="Whose clients get in all the same; may be given often."),
    ] = None,
) -> None:
    """Answer 503 with a page in place of services; without SERVICE of the whole app.

    It stays so over `fourfold up`, deploys and restarts, until `fourfold maintenance off`. Services call each other as
    ever, and health checks go on.
    """
    session = Session.of(ctx)
    body = {
        "services": services or [],
        "page": None if page is None else _text(page),
        "content_type": _TYPES.get(page.suffix.lower() if page else "", "text/plain; charset=utf-8"),
        "retry_after": _seconds(retry_after),
        "allowed": allow or [],
        "actor": session.actor,
    }
    found: list[str] = session.client.ask("PUT", f"/v1/apps/{session.app}/maintenance", body)
    told = f"in maintenance: {', '.join(found)}; fourfold maintenance off ends it"
    output.done(told, session.options, services=found)


@command.add("off")
def off(ctx: click.Context, services: _Services = None) -> None:
    """Send requests to the services again; without SERVICE to all of the app."""
    session = Session.of(ctx)
    path = f"/v1/apps/{session.app}/maintenance"
    found: list[str] = session.client.ask("DELETE", path, service=services or [], actor=session.actor)
    told = f"back from maintenance: {', '.join(found)}"
    told = told if found else f"{', '.join(services or [session.app])} is not in maintenance"
    output.done(told, session.options, services=found)


def _text(page: Path) -> str:
    try:
        return page.read_bytes().decode()
    except FileNotFoundError:
        raise NotFoundError(f"cannot read the page {page}: it is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the page {page}: {error}") from None


def _seconds(text: str) -> float:
    from fourfold.spec.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--retry-after") from None
