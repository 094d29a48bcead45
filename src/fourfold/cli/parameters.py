"""Click's commands from functions: what a parameter is called and means stands in its type.

    def command(ctx: click.Context, save: Annotated[bool, Option("--save", help="Write it.")] = False) -> int:

Without a name an option is called like its parameter. `X | None` may be left out, a list may come several times.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from fourfold.cli.completion import COMPLETED
from fourfold.cli.table import ELSEWHERE
from fourfold.errors import RefusedError

F = TypeVar("F", bound=Callable[..., Any])


class Option:
    """`parser`: from text to the value, raising ValueError or click.BadParameter; all else as click.Option takes it."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names, self.settings = names, settings


class Argument:
    """As `Option`. One that is `hidden` is read, and told to nobody."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings


class Commands:
    """A command that has commands of its own."""

    def __init__(self, help: str, itself: Callable[[click.Context], None] | None = None) -> None:
        """`itself`: what is done first, or without one of them."""
        self._help, self._itself = help, itself
        self._functions: dict[str, Callable[..., Any]] = {}

    def add(self, name: str) -> Callable[[F], F]:
        def added(function: F) -> F:
            self._functions[name] = function
            return function

        return added

    def made(self, name: str, epilog: str) -> click.Group:
        callback = click.pass_context(self._itself) if self._itself else None
        alone = callback is not None
        group = Group(name, help=self._help, epilog=epilog, callback=callback, invoke_without_command=alone)
        group.no_args_is_help = False
        for each, function in self._functions.items():
            group.add_command(command(function, each, epilog=epilog))
        return group


class Command(click.Command):
    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Click does not tell whose option it is that lacks its value."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            error.ctx = error.ctx or click.Context(self, parent, info_name)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """What the API does not take of a request is told of the parameter that is named like that field of it."""
        try:
            return super().invoke(ctx)
        except RefusedError as error:
            for param in self.params:
                if why := error.fields.get(param.name or ""):
                    raise click.BadParameter(why, ctx, param) from error
            raise


class Group(Command, click.Group):
    """`help COMMAND` is `COMMAND --help`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # Click sorts them

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if ctx.resilient_parsing:  # words that are to be completed
            return super().resolve_command(ctx, args)
        if args == ["help"]:
            click.echo(ctx.get_help())
            ctx.exit()
        if args[0] == "help":
            args = [*args[1:], "--help"]
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            from difflib import get_close_matches

            meant = [each for each in ELSEWHERE.get(name, ()) if each in known]
            near = meant or get_close_matches(name, known, 1)
            ctx.fail(f"there is no command {name}" + (f"; did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(each)) for name, each in self.commands.items()])


def summary(command: click.Command) -> str:
    """The first sentence of its help, in one line."""
    return (command.help or "").partition("\n\n")[0].replace("\n", " ")


def command(function: Callable[..., Any], name: str, kind: type[Command] = Command, **settings: Any) -> click.Command:
    """Its help is the function's docstring."""
    hints = get_type_hints(function, include_extras=True)
    takes = dict(inspect.signature(function).parameters)
    contexts = [key for key in takes if hints[key] is click.Context]
    params = [_param(key, hints[key], each.default) for key, each in takes.items() if key not in contexts]
    lists = {param.name for param in params if param.multiple or param.nargs == -1}
    once = {param.name for param in params if param.metavar == "SERVICE"}

    def called(**values: Any) -> Any:
        values |= {key: list(values[key] or ()) or None for key in lists}
        values |= {key: list(dict.fromkeys(values[key])) for key in lists & once if values[key]}
        return function(**values, **dict.fromkeys(contexts, click.get_current_context()))

    return kind(name, params=params, callback=called, help=inspect.getdoc(function), **settings)


def _param(name: str, hint: Any, default: Any) -> click.Parameter:
    if get_origin(hint) is not Annotated:
        raise TypeError(f"parameter {name} is no Option and no Argument")
    base, said = get_args(hint)
    kinds = [each for each in get_args(base) if each is not type(None)] if type(None) in get_args(base) else [base]
    many = get_origin(kinds[0]) is list
    settings = dict(said.settings)
    settings["type"] = _type(get_args(kinds[0])[0] if many else kinds[0], settings)
    settings.setdefault("shell_complete", COMPLETED.get(settings.get("metavar", "")))
    required = default is inspect.Parameter.empty
    settings |= {"required": required} if required or many else {"default": default}
    if isinstance(said, Argument):
        return _Argument([name], nargs=-1 if many else 1, **settings)
    settings = {"show_default": bool(default), **settings}
    if settings["type"] is bool:
        settings["is_flag"] = True
    return click.Option([name, *(said.names or ["--" + name.replace("_", "-")])], multiple=many, **settings)


def _type(kind: Any, settings: dict[str, Any]) -> Any:
    parser, least = settings.pop("parser", None), settings.pop("min", None)
    if parser is None and settings.get("metavar") in ("SERVICE", "OPERATION"):
        parser = _name
    if parser is not None:
        return click.types.FuncParamType(parser)
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if isinstance(kind, EnumType):
        return click.Choice(kind)
    if least is not None:
        return _at_least(kind, least)
    return click.Path(path_type=Path) if kind is Path else kind


def _name(text: str) -> str:
    """Which becomes a part of a path of the API."""
    if not text or "/" in text:
        raise click.BadParameter(f"expected a name, got {text!r}")
    return text


def _at_least(kind: type[int] | type[float], least: float) -> click.types.FuncParamType[str, float]:
    def number(text: str) -> float:
        with suppress(ValueError):
            if (found := kind(text)) >= least:
                return found
        raise click.BadParameter(f"expected a {'whole ' * (kind is int)}number from {least} on, got {text!r}")

    return click.types.FuncParamType(number)


class _Argument(click.Argument):
    """Click takes a metavar as it is; and names it in errors with all of its brackets."""

    def __init__(self, names: list[str], *, hidden: bool = False, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.hidden = hidden

    def make_metavar(self, ctx: click.Context) -> str:
        text = self.human_readable_name
        text = text if self.required or text.startswith("[") else f"[{text}]"
        return text + ("..." if self.nargs == -1 else "")

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [] if self.hidden else super().get_usage_pieces(ctx)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return f"'{self.human_readable_name}'"
