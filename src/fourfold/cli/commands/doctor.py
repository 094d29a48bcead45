"""`fourfold doctor`: what works on this machine."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import click

from fourfold.cli.parameters import Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session
from fourfold.control.views import CheckView
from fourfold.errors import WorldError

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def command(
    ctx: click.Context,
    offline: Annotated[bool, Option("--offline", help="Without the daemon, when it does not start.")] = False,
) -> int:
    """Check what works on this machine and what to do about the rest."""
    session = Session.of(ctx)
    if offline:
        session.need_local("check offline")
    checks = _offline() if offline else session.client.get("/v1/doctor")
    if session.options.json:
        output.as_json(checks)
    else:
        rows = [(check.name, check.state, check.message) for check in checks]
        lines = formats.table(("CHECK", "STATE", "FOUND"), rows)
        for index, check in reversed(list(enumerate(checks, start=1))):
            if check.hint:
                lines.insert(index + 1, f"  hint: {check.hint}")
        output.data("\n".join(output.shade(lines, COLOURS, session.options)))
    return 1 if any(check.state == "failed" for check in checks) else 0


def _offline() -> list[CheckView]:
    """The daemon's own checks, made by a process that serves nothing; one JSON object per line."""
    done = subprocess.run(
        [sys.executable, "-m", "fourfold.daemon", "--doctor"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    try:
        checks = [CheckView.model_validate_json(line) for line in done.stdout.splitlines() if line.strip()]
    except ValueError:
        checks = []
    if not checks:
        last = "\n".join(f"  {line}" for line in done.stderr.splitlines()[-15:])
        raise WorldError(f"cannot check: the daemon's code does not run\n{last}", "install Fourfold again")
    return checks
