"""The options that every command takes, before its name or after it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import click

from fourfold.cli.completion import apps
from fourfold.cli.parameters import Option

if TYPE_CHECKING:
    from fourfold.cli.link.client import Client


class Output(StrEnum):
    table = "table"
    json = "json"


class Progressing(StrEnum):
    auto = "auto"
    lines = "lines"
    json = "json"


@dataclass
class Options:
    """What they were set to; the one after the command's name wins."""

    host: str | None = None
    file: str | None = None
    app: str | None = None
    env: str | None = None
    output: Output = Output.table
    progress: Progressing = Progressing.auto
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    timeout: float | None = None
    wait: bool = True
    no_color: bool = False
    closing: ExitStack = field(default_factory=ExitStack)
    """What is ended with the command."""
    asked: Client | None = None
    """Whom the command has asked."""

    @property
    def json(self) -> bool:
        return self.output is Output.json


def duration(text: str) -> float:
    from fourfold.spec.units import parse_duration  # late: `--help` must not load the models beside it

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def app_name(text: str) -> str:
    """Not `-a "$APP"` where that is empty: the command would be of the file's app."""
    if not re.fullmatch(r"[a-z0-9-]+", text):
        raise click.BadParameter(f"{text!r} is no name of an app")
    return text


def _option(variable: str, *names: str, **more: Any) -> Any:
    """One that the environment can set too; docs/commands.md lists the variables, the help page has no room."""
    return Option(*names, envvar=variable, show_envvar=False, **more)


def root(
    ctx: click.Context,
    host: Annotated[
        str | None,
        _option("FOURFOLD_HOST", "--host", "-H", metavar="URL", help="Of a daemon elsewhere: ssh://…, https://…."),
    ] = None,
    file: Annotated[
        str | None,
        _option("FOURFOLD_FILE", "--file", "-f", metavar="FILE", help="Service file; else fourfold.yaml."),
    ] = None,
    app: Annotated[
        str | None,
        _option(
            "FOURFOLD_APP",
            "--app",
            "-a",
            metavar="NAME",
            parser=app_name,
            shell_complete=apps,
            help="App; else the one of the file.",
        ),
    ] = None,
    env: Annotated[
        str | None,
        _option("FOURFOLD_ENV", "--env", "-e", metavar="NAME", help="Overlay: fourfold.NAME.yaml."),
    ] = None,
    output: Annotated[
        Output | None,
        _option("FOURFOLD_OUTPUT", "--output", "-o", help="For people or for programs."),
    ] = None,
    progress: Annotated[
        Progressing | None,
        _option("FOURFOLD_PROGRESS", "--progress", help="Live on terminals, a line per event, or each as JSON."),
    ] = None,
    quiet: Annotated[bool | None, Option("--quiet", "-q", help="No progress, only results and errors.")] = None,
    verbose: Annotated[bool | None, Option("--verbose", "-v", help="Tracebacks, and more detail.")] = None,
    yes: Annotated[bool | None, Option("--yes", "-y", help="Do not ask.")] = None,
    timeout: Annotated[
        float | None,
        _option("FOURFOLD_TIMEOUT", "--timeout", metavar="TIME", parser=duration, help="Wait so long, such as 90s."),
    ] = None,
    wait: Annotated[bool | None, Option("--wait/--detach", help="See changes through (default) or not.")] = None,
    no_color: Annotated[bool | None, Option("--no-color", help="No colours; so does NO_COLOR.")] = None,
) -> None:
    """Deploy microservices: one service file, four ways to run it."""
    # Each parameter has set its own field of Options: see `share`.


def share(command: click.Command, options: Options) -> None:
    """Let the root's own parameters set `options`."""
    for param in command.params:
        if isinstance(param, click.Option) and param.name in vars(options):
            _bind(param, options)


def add_to(command: click.Command, root_command: click.Group, options: Options) -> None:
    """Let `command` take the shared options too; a letter that it uses itself keeps its own meaning there."""
    own = {param.name for param in command.params}
    assert not own & vars(options).keys(), f"{command.name} has a parameter named like a shared option"
    taken = {text for param in command.params for text in (*param.opts, *param.secondary_opts)}
    for param in root_command.params:
        if not isinstance(param, click.Option) or param.name not in vars(options):
            continue
        mine = copy.copy(param)
        mine.opts = [text for text in param.opts if text not in taken]
        mine.envvar = None  # else the environment, read again, would win over a flag before the command
        mine.hidden = True
        if mine.opts:
            _bind(mine, options)
            command.params.append(mine)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_to(child, root_command, options)


def _bind(param: click.Option, options: Options) -> None:
    param.expose_value = False
    param.callback = _setter(param.name, options)


def _setter(name: str, options: Options) -> Callable[..., Any]:
    def set_it(ctx: object, param: object, value: Any) -> Any:
        if value is not None:
            setattr(options, name, value)
        return value

    return set_it
