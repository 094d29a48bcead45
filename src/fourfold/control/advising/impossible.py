"""What cannot run under a pattern, on whatever machine. Pure."""

from __future__ import annotations

from collections.abc import Callable

from fourfold.control.deploying.checks import check_timeout
from fourfold.cost.comparison import Pattern
from fourfold.cost.wanted import impossible as by_file
from fourfold.errors import UserError
from fourfold.launch.model import Powers
from fourfold.launch.patterns import refuse_impossible
from fourfold.spec.model import Service

EVERYTHING = Powers(
    users=True,
    private=True,
    network=True,
    cpu=True,
    memory=True,
    pids=True,
    io=True,
    containers=True,
    runtimes=("runc", "crun", "runsc"),
    machines=True,
    accelerator="kvm",
    shares=True,
    apart=True,
    functions=True,
)
"""Of a machine that can do all: what it refuses, every machine does."""


def impossible(name: str, spec: Service, pattern: Pattern, function_timeout: float) -> str | None:
    """Why. None: it can, but for what its group, its source and the machine have to say."""
    if (said := by_file(spec).get(pattern)) is not None:
        return said
    spec = spec.model_copy(update={"pattern": pattern})
    error = refusal(lambda: check_timeout(name, spec, pattern, function_timeout)) or refusal(
        lambda: refuse_impossible(spec, pattern, EVERYTHING)
    )
    return bare(name, error) if error is not None else None


def refusal(check: Callable[[], None]) -> UserError | None:
    try:
        check()
    except UserError as error:
        return error
    return None


def bare(name: str, error: UserError) -> str:
    """Without the service's name in front, which whoever reads it has before his eyes."""
    return error.what.removeprefix(f"{name}: ")
