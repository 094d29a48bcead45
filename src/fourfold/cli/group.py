"""The `fourfold` command as a group that imports a command's module only when it is run, or its own help is asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from fourfold.cli import options as shared
from fourfold.cli.table import COMMANDS, SECTIONS

SHARED = "-H -f -a -e -o -q -v -y --progress --timeout --wait/--detach --no-color"
EPILOG = f"Every command also takes {SHARED}: see `fourfold --help`."


class LazyGroup(TyperGroup):
    """Its subcommands are the modules of `fourfold.cli.commands`; each has `command`, a function or a Typer."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        if cmd_name not in COMMANDS:
            return None
        command = load(cmd_name)
        shared.add_to(command, self, ctx.obj if isinstance(ctx.obj, shared.Options) else shared.Options())
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = get_close_matches(name, COMMANDS, 1)
            ctx.fail(f"there is no command {name}" + (f"; did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_max=12)


def load(name: str) -> TyperCommand | TyperGroup:
    """Import the command's module and make it a Click command, without the shared options."""
    module = importlib.import_module(f"fourfold.cli.commands.{name}")
    given: Callable[..., Any] | typer.Typer = module.command
    if isinstance(given, typer.Typer):
        group = given
        group.info.name = name
    else:
        group = typer.Typer(add_completion=False, rich_markup_mode=None)
        group.command(name, cls=getattr(module, "kind", TyperCommand), epilog=EPILOG)(given)
    command = typer.main.get_command(group)
    assert isinstance(command, TyperCommand | TyperGroup)
    command.name = name
    return command


def build(options: shared.Options) -> LazyGroup:
    """The whole command line; what the shared options are given is put into `options`."""
    app = typer.Typer(
        cls=LazyGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Start with `fourfold init` and `fourfold up`; `fourfold COMMAND --help` says more.",
    )
    app.callback()(shared.root)
    command = typer.main.get_command(app)
    assert isinstance(command, LazyGroup)
    shared.share(command, options)
    return command
