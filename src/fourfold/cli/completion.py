"""Completion in shells: Click's script for one, printed or put where that shell reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from fourfold.errors import UserError

VARIABLE = "_FOURFOLD_COMPLETE"
RC = {"bash": ".bashrc", "zsh": ".zshrc"}
"""What a shell reads at its start, and is told there to read the script; fish has a folder for scripts."""


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
