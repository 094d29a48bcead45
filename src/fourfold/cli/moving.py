"""`--as`: services under another pattern than the file says."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import click

from fourfold.cli.parameters import Option
from fourfold.errors import UserError


class Pattern(StrEnum):
    process = "process"
    shared = "shared"
    container = "container"
    vm = "vm"
    function = "function"


As = Annotated[Pattern | None, Option("--as", help="The pattern to run under, until `up --reset`.")]
Save = Annotated[bool, Option("--save", help="Write what --as says into the service file too.")]


def check_save(save: bool, pattern: Pattern | None) -> None:
    if save and pattern is None:
        raise click.BadParameter("it writes what --as says: give --as too", param_hint="--save")


def moved(request: dict[str, Any], pattern: Pattern | None, in_file: bool = False) -> dict[str, Any]:
    """The request (an UpRequest) with an override for each service that it is about.

    `in_file`: the service file says so from now on, so that it is none.
    """
    if pattern is None:
        return request
    spec = request["spec"]
    names = request["services"] or list(spec["services"])
    if groups := [name for name in names if name in (spec.get("groups") or {})]:
        raise UserError(
            f"cannot run {groups[0]} as a {pattern.value}: it is a group", "name the members of it that are to move"
        )
    overrides = {name: {"pattern": pattern.value} for name in names}
    if in_file:
        services = {name: (spec["services"][name] or {}) | {"pattern": pattern.value} for name in names}
        spec = spec | {"services": spec["services"] | services}
    return request | {"spec": spec, "overrides": overrides}
