"""`fourfold restore`: a home made of a backup, and all of its services up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import click

from fourfold.cli import units
from fourfold.cli.commands.backup import PASSPHRASE, PassphraseFile, given
from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import output
from fourfold.cli.session import Session
from fourfold.errors import ConflictError


def command(
    ctx: click.Context,
    place: Annotated[str, Argument(metavar="FILE", help="A backup, as it is or in gzip; -: standard input.")],
    force: Annotated[bool, Option("--force", help="Also where apps are: those are moved aside.")] = False,
    passphrase_file: PassphraseFile = None,
    without_keys: Annotated[bool, Option("--without-keys", help="Leave out all that is secret.")] = False,
    start: Annotated[bool, Option("--start/--no-start", help="Start everything or not.")] = True,
) -> int:
    """Make an empty home of a backup, and bring everything up again.

    On this machine. What the backup does not have is built again from its sources, with the versions that it was
    built with.
    """
    from fourfold.cli.link.endpoint import connects
    from fourfold.cli.restoring import await_services

    session = Session.of(ctx)
    session.need_local("restore")
    if connects(session.paths.socket):
        raise ConflictError(
            "cannot restore while a daemon runs here; nothing was changed",
            "end it with `fourfold daemon stop` (systemctl stop fourfold), then restore",
        )
    done = _made(place, force, without_keys, given(passphrase_file))
    if isinstance(done, int):
        return done
    for note in done["notes"]:
        output.say(f"note: {note}", session.options)
    if done["replaced"]:
        output.say(f"note: what was here is in {done['replaced']}", session.options)
    apps = ", ".join(done["apps"]) or "no apps"
    output.say(f"restored {apps}, as on {done['host']} at {done['made_at']}", session.options)
    failed: list[str] = []
    if start and units.is_enabled(session.paths):
        output.say("next: systemctl start fourfold", session.options)
    elif start:
        client = session.started_client
        failed = await_services(session, client, done["apps"], done["last_event"]) if session.options.wait else []
    if session.options.json:
        output.as_json(done | {"failed": failed})
    return 1 if failed else 0


def _made(place: str, force: bool, without_keys: bool, passphrase: str | None) -> dict[str, Any] | int:
    """What the daemon's program made of it, or its exit code: it has said why."""
    argv = [
        sys.executable,
        "-m",
        "fourfold.daemon",
        "--restore",
        place if place == "-" else str(Path(place).absolute()),
    ]
    argv += ["--force"] if force else []
    argv += ["--without-keys"] if without_keys else []
    environ = dict(os.environ) if passphrase is None else os.environ | {PASSPHRASE: passphrase}
    # Ctrl-C is for the program, which knows when it must not be heard; `run` would kill it a quarter of a second later.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        ended = subprocess.run(argv, stdout=subprocess.PIPE, env=environ)
    finally:
        signal.signal(signal.SIGINT, before)
    if ended.returncode:
        return ended.returncode
    result: dict[str, Any] = json.loads(ended.stdout)
    return result
