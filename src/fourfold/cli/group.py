"""The `fourfold` command as a group that imports a command's module only when it is run, or its own help is asked."""

from __future__ import annotations

import importlib

import click

from fourfold import __version__
from fourfold.cli import completion, parameters
from fourfold.cli import options as shared
from fourfold.cli.table import COMMANDS, SECTIONS

SHARED = "-H -f -a -e -o -q -v -y --progress --timeout --wait/--detach --no-color"
EPILOG = f"Every command also takes {SHARED}: see `fourfold --help`."


class LazyGroup(parameters.Group):
    """Its subcommands are the modules of `fourfold.cli.commands`; each has `command`, a function or `Commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = load(cmd_name)
        shared.add_to(command, self, ctx.obj if isinstance(ctx.obj, shared.Options) else shared.Options())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_max=12)


def load(name: str) -> click.Command:
    """Import the command's module and make it a Click command, without the shared options."""
    module = importlib.import_module(f"fourfold.cli.commands.{name}")
    if isinstance(module.command, parameters.Commands):
        return module.command.made(name, EPILOG)
    kind = getattr(module, "kind", parameters.Command)
    return parameters.command(module.command, name, kind, epilog=EPILOG)


def build(options: shared.Options) -> LazyGroup:
    """The whole command line; what the shared options are given is put into `options`."""
    command = parameters.command(
        shared.root,
        "fourfold",
        LazyGroup,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Start with `fourfold init` and `fourfold up`; `fourfold COMMAND --help` says more.",
    )
    assert isinstance(command, LazyGroup)
    shared.share(command, options)
    click.version_option(__version__, message="fourfold %(version)s")(command)
    command.params += completion.options()
    return command
