"""`fourfold build`: what a service is built into, also as an image for elsewhere."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.moving import Pattern
from fourfold.cli.parameters import Argument, Option
from fourfold.cli.session import Session


def command(
    ctx: click.Context,
    service: Annotated[str, Argument(metavar="SERVICE")],
    pattern: Annotated[Pattern | None, Option("--as", help="The pattern to build for.")] = None,
    form: Annotated[
        str | None,
        Option(
            "--format",
            metavar="FORMAT",
            help="oci, docker-archive, registry:HOST/NAME:TAG; raw, qcow2, vmdk, vdi, vhd, ova; zip.",
        ),
    ] = None,
    to: Annotated[
        str | None, Option("--to", metavar="PATH", help="File or folder for the image; - is standard output.")
    ] = None,
    rebuild: Annotated[
        bool, Option("--rebuild", help="Build again, with the newest base, kernel and dependencies allowed.")
    ] = False,
) -> int:
    """Build a service without deploying it; with --format, make an image of it.

    Without --format it says what was built and how large it is. A container's image has the base, dependencies and
    application in layers of their own; a virtual machine's boots with BIOS and UEFI; a function's is a zip for AWS
    Lambda. The same source gives the same image, wherever and whenever it is built. It holds no secrets.
    """
    from fourfold.cli.building import build

    return build(Session.of(ctx), service, pattern, form, to, rebuild)
