"""`fourfold backup`: all that cannot be made again, as one file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session
from fourfold.errors import UserError

PASSPHRASE = "FOURFOLD_PASSPHRASE"

PassphraseFile = Annotated[
    Path | None,
    Option("--passphrase-file", metavar="PATH", help=f"Its first line; else ${PASSPHRASE}; else it is asked."),
]


def command(
    ctx: click.Context,
    place: Annotated[str, Argument(metavar="FILE", help="Where to write it; -: standard output.")],
    volumes: Annotated[bool, Option("--volumes", help="With what services have in their volumes.")] = False,
    artifacts: Annotated[bool, Option("--artifacts", help="With what was built.")] = False,
    passphrase_file: PassphraseFile = None,
    with_keys: Annotated[bool, Option("--with-keys", help="Keys in the clear, not sealed.")] = False,
    without_keys: Annotated[bool, Option("--without-keys", help="No keys and no certificates.")] = False,
) -> None:
    """Write a backup of all apps, while they go on.

    The key of the secrets is in it, sealed with a passphrase, unless you say otherwise.
    """
    from fourfold.cli.imagefile import STDOUT, check_place, write_image

    session = Session.of(ctx)
    if sum((with_keys, without_keys, passphrase_file is not None)) > 1:
        raise UserError("cannot make the backup: --with-keys, --without-keys and --passphrase-file exclude each other")
    check_place(place, folder=False, what="a backup", send_on="gzip > FILE")
    keys = "plain" if with_keys else "none" if without_keys else "sealed"
    body = {
        "volumes": volumes,
        "artifacts": artifacts,
        "keys": keys,
        "passphrase": _new_passphrase(passphrase_file) if keys == "sealed" else "",
        "actor": session.actor,
    }
    size = 0

    def counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            yield piece

    with session.client.download("/v1/backup", body) as (_, pieces):
        write_image(counted(pieces), place, folder=False, what="the backup", mode=0o600)
    if place == STDOUT:
        output.say(f"backup written: {formats.size(size)}", session.options)
    elif session.options.json:
        output.as_json({"file": str(Path(place).absolute()), "bytes": size, "keys": keys})
    else:
        output.data(f"{place}  {formats.size(size)}")
    if keys == "plain":
        output.say("note: it holds the keys in the clear: whoever reads it reads all secrets", session.options)
    if keys == "none":
        output.say("note: without secrets.key, kept elsewhere, its secrets cannot be read", session.options)


def given(file: Path | None) -> str | None:
    """The passphrase, if one is given without asking. Raises UserError."""
    if file is None:
        return os.environ.get(PASSPHRASE)
    try:
        line = file.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the passphrase in {file}: {error}") from None
    if not line:
        raise UserError(f"cannot read the passphrase in {file}: its first line is empty")
    return line


def _new_passphrase(file: Path | None) -> str:
    if (known := given(file)) is not None:
        return known
    if not sys.stdin.isatty():
        raise UserError(
            "cannot seal the keys: no passphrase is given, and this is not a terminal",
            f"--passphrase-file PATH or ${PASSPHRASE}; or --with-keys (in the clear), or --without-keys",
        )
    from getpass import getpass

    first = getpass("passphrase for the keys in it: ")
    if first != getpass("once more: "):
        raise UserError("cannot seal the keys: that were two different passphrases")
    return first
