"""Completion in shells: Click's script for one, printed or put where that shell reads it; names and files for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fourfold.errors import FourfoldError, UserError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from fourfold.cli.link.client import Client
    from fourfold.cli.session import Session

VARIABLE = "_FOURFOLD_COMPLETE"
RC = {"bash": ".bashrc", "zsh": ".zshrc"}
"""What a shell reads at its start, and is told there to read the script; fish has a folder for scripts."""

PATIENCE = 1.0
"""Seconds that somebody who pressed Tab waits for the daemon."""


def services(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Those of the file, unless an app is named, and those that run."""
    from fourfold.cli.session import Session

    session, found = Session.of(ctx), dict[str, None]()
    with suppress(FourfoldError):
        found |= dict.fromkeys(_in_file(session))
    with suppress(FourfoldError):
        found |= dict.fromkeys(each.name for each in _asked(session).get(f"/v1/apps/{session.app}").services)
    return [name for name in found if name.startswith(incomplete)]


def apps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from fourfold.cli.session import Session

    with suppress(FourfoldError):
        names = [app.name for app in _asked(Session.of(ctx)).get("/v1/apps")]
        return [name for name in names if name.startswith(incomplete)]
    return []


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


COMPLETED = {"SERVICE": services, "FILE": files, "PATH": files}
"""What completes a parameter, by its metavar, where its type does not say."""


def _in_file(session: Session) -> Iterable[str]:
    from fourfold.cli.appname import find_file
    from fourfold.spec.outline import outline

    path = None if session.options.app else find_file(session.options)
    return outline(path, env=session.options.env, environ=os.environ).everything if path else ()


def _asked(session: Session) -> Client:
    """Over ssh somebody might be asked for a password in the midst of a line. Raises UserError."""
    from fourfold.cli.link.client import Client

    if session.remote:
        raise UserError("cannot ask the daemon of another machine for names")
    return Client(session.client.endpoint, patience=PATIENCE)


def options() -> list[click.Option]:
    return [
        _option("--install-completion", "Write completion into your shell's own files.", _install),
        _option("--show-completion", "Print what completion takes in your shell.", click.echo),
    ]


def _option(name: str, text: str, use: Callable[[str], None]) -> click.Option:
    def asked(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            use(_script(ctx.command))
            ctx.exit()

    return click.Option([name], is_flag=True, is_eager=True, expose_value=False, help=text, callback=asked)


def _script(command: click.Command) -> str:
    from click.shell_completion import get_completion_class

    if (kind := get_completion_class(_shell())) is None:
        raise UserError(f"cannot complete in {_shell()}: it is none of bash, zsh, fish and PowerShell")
    return kind(command, {}, "fourfold", VARIABLE).source()


def _shell() -> str:
    """The one that runs this command; $SHELL, where something else does."""
    name = Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    name = "powershell" if name == "pwsh" else name
    return name if name in ("bash", "zsh", "fish", "powershell") else Path(os.environ.get("SHELL", "sh")).name


def _install(script: str) -> None:
    shell, home = _shell(), Path.home()
    if shell == "powershell":
        raise UserError("cannot install completion for PowerShell", "add `fourfold --show-completion` to your $PROFILE")
    folder = ".config/fish/completions" if shell == "fish" else ".local/share/fourfold"
    file = home / folder / f"fourfold.{shell}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script + "\n")
    if shell in RC:
        rc, line = home / RC[shell], f"source '{file}'"
        before = rc.read_text() if rc.exists() else ""
        if line not in before:
            with rc.open("a") as ends:  # never emptied: it is the user's
                ends.write(("\n" if before and not before.endswith("\n") else "") + line + "\n")
    click.echo(f"{file} is written: completion is there in the next shell")
