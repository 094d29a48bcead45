"""`fourfold secrets`: values go in through standard input or a prompt, and never come out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Argument, Commands
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session
from fourfold.errors import NotFoundError, UserError
from fourfold.spec import dotenv

if TYPE_CHECKING:
    from fourfold.control.views import SecretView

command = Commands("Set, list, import and remove secrets.")


@command.add("set")
def set_(
    ctx: click.Context,
    name: Annotated[str, Argument(metavar="NAME")],
    extra: Annotated[list[str] | None, Argument(hidden=True)] = None,
) -> None:
    """Set one; its value comes from standard input, or is asked for."""
    if extra or "=" in name:
        only = name.partition("=")[0]
        raise UserError(
            f"cannot set {only}: a value on the command line is seen by all users of this machine",
            f"pipe it (fourfold secrets set {only} < file), or leave it out to be asked",
        )
    session = Session.of(ctx)
    _put(session, {name: _value(name)})


@command.add("import")
def import_(ctx: click.Context, path: Annotated[Path, Argument(metavar="FILE")]) -> None:
    """Set all of a .env file (lines NAME=value); all or none."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"cannot import {path}: it is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot import {path}: {error}") from None
    values = dotenv.parse(text, str(path))
    if not values:
        raise UserError(f"cannot import {path}: no line has the form NAME=value")
    _put(Session.of(ctx), values)


@command.add("list")
def list_(ctx: click.Context) -> None:
    """Names and when each was last set; never values."""
    session = Session.of(ctx)
    secrets: list[SecretView] = session.client.get(f"/v1/apps/{session.app}/secrets")
    if not secrets:
        session.need_app(session.app)
    if session.options.json:
        output.as_json(secrets)
    elif not secrets:
        output.say(f"{session.app} has no secrets; set one with: fourfold secrets set NAME", session.options)
    else:
        rows = [(secret.name, formats.ago(secret.updated_at, formats.utc_now())) for secret in secrets]
        output.data("\n".join(formats.table(("NAME", "SET"), rows)))


@command.add("rm")
def rm(ctx: click.Context, names: Annotated[list[str], Argument(metavar="NAME")]) -> None:
    """Forget some; refused while a service needs one."""
    session = Session.of(ctx)
    names = list(dict.fromkeys(names))
    session.client.ask("DELETE", f"/v1/apps/{session.app}/secrets", name=names, actor=session.actor)
    told = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} removed"
    output.done(told, session.options, removed=names)


def _put(session: Session, values: dict[str, str]) -> None:
    path = f"/v1/apps/{session.app}/secrets"
    session.started_client.ask("PUT", path, {"values": values, "actor": session.actor})
    told = f"{', '.join(values)} {'is' if len(values) == 1 else 'are'} set"
    output.done(f"{told}; services get it with the next `fourfold up`", session.options, set=list(values))
    if not session.knows(session.app):
        output.say(f"there is no app {session.app} here yet: kept until it comes up", session.options)


def _value(name: str) -> str:
    if sys.stdin.isatty():
        value: str = click.prompt(f"Value of {name}", hide_input=True, err=True)
    else:
        try:
            value = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UserError(f"cannot set {name}: its value is not UTF-8", "encode it, as base64 say") from None
    if not value:
        raise UserError(f"cannot set {name}: the value is empty", f"to forget it: fourfold secrets rm {name}")
    return value
