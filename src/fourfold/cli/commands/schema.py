"""`fourfold schema`: for editors and for programs."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import click

from fourfold.cli.parameters import Option
from fourfold.cli.printing import output


def command(
    api: Annotated[bool, Option("--api", help="The OpenAPI document of the daemon's API instead.")] = False,
    comparison: Annotated[
        bool, Option("--comparison", help="The JSON Schema of what `compare -o json` prints instead.")
    ] = False,
) -> int:
    """Print the JSON Schema of the service file, or the API's OpenAPI document."""
    if api and comparison:
        raise click.BadParameter("--api and --comparison are two different documents: give one of them")
    if api:
        # The command line must not import the server; its package prints the document itself.
        made = subprocess.run([sys.executable, "-m", "fourfold.api"], stdout=subprocess.PIPE, text=True)
        output.data(made.stdout.rstrip())
        return made.returncode
    if comparison:
        from fourfold.cli.comparison.schema import schema as of_comparison

        output.as_json(of_comparison())
        return 0
    from fourfold.spec.schema import schema

    output.as_json(schema())
    return 0
