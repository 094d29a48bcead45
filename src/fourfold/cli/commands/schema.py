"""`fourfold schema`: for editors and for programs."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from fourfold.cli import output


def command(
    api: Annotated[bool, typer.Option("--api", help="The OpenAPI document of the daemon's API instead.")] = False,
) -> int:
    """Print the JSON Schema of the service file, or the API's OpenAPI document."""
    if api:
        # The command line must not import the server; its package prints the document itself.
        return subprocess.run([sys.executable, "-m", "fourfold.api"]).returncode
    from fourfold.spec.schema import schema

    output.as_json(schema())
    return 0
