"""Where a container's tree is built, and what it needs there. Pure."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from fourfold.build.builders.static import SERVER
from fourfold.build.model import BuildPlan, Host, Runtime
from fourfold.store.files.artifacts import Image

DEBIAN, SCRATCH = "debian", "scratch"
_BOUND = ("python", "nodejs", "ruby")
"""Languages whose packages are installed for one interpreter and C library."""
_NO_COMPILER = re.compile(
    r"\b(gcc|g\+\+|cc|c\+\+|make|pkg-config)(-\S+)?['\"]?:? (command )?not found"
    r"|No such file or directory:? '?(\S*-)?(gcc|g\+\+|cc|make)\b"
    r"|unable to execute '|gcc' failed|Python\.h: No such file|not found: make"
    r"|(can't|cannot) find header files|development tools|a C compiler"
    r"|[Uu]nknown compiler|[Cc]ompiler\S* (cannot|could not|not found)"
)
_PT_INTERP = 3


def has_steps(plan: BuildPlan) -> bool:
    return bool(plan.layers or plan.steps)


def is_site(plan: BuildPlan) -> bool:
    """Whether it is run to serve files: our server needs Python, and the files need nothing."""
    return SERVER in plan.files


def is_inside(plan: BuildPlan, base: str, host: Host) -> bool:
    """Whether its steps run in the base. What they make for base `debian` in other languages runs there as well: it is
    the host's own release. And files that are served are files, whatever made them, if `host` can."""
    if not has_steps(plan) or base == SCRATCH:
        return False
    if base == DEBIAN and is_site(plan) and all(runtime.name in host.runtimes for runtime in plan.runtimes):
        return False
    return base != DEBIAN or any(runtime.name.startswith(_BOUND) for runtime in plan.runtimes)


def needed(plan: BuildPlan, host: Host) -> tuple[Runtime, ...]:
    """The runtimes that a base `debian` is to have."""
    outside = is_site(plan) and not is_inside(plan, DEBIAN, host)
    own = [each for each in plan.runtimes if not outside or each.path == (plan.argv or ("",))[0]]
    return (*own, *plan.beside)


class Heard:
    """A build's log that tells afterwards, of one that failed, whether compilers or headers were missing: that may
    stand far above the last lines."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self.needs_compilers = False

    def __call__(self, line: str) -> None:
        self.needs_compilers = self.needs_compilers or _NO_COMPILER.search(line) is not None
        self._log(line)


def dependencies(plan: BuildPlan) -> tuple[str, ...]:
    """Folders of the tree that stay the same while the source changes: a layer of their own in an image."""
    return tuple(dict.fromkeys(name for layer in plan.layers for name in layer.keep))


def with_path(env: Mapping[str, str], image: Image) -> dict[str, str]:
    """The tree's environment; folders that only the image has on its PATH come last."""
    own = [folder for folder in env.get("PATH", "").split(":") if folder]
    rest = [folder for folder in image.env.get("PATH", "").split(":") if folder and folder not in own]
    return {**env, "PATH": ":".join([*own, *rest])} if own else dict(env)


def digest_of(facts: list[Any]) -> str:
    return sha256(json.dumps(["container", *facts], sort_keys=True).encode()).hexdigest()


def interpreter_of(program: bytes) -> str | None:
    """What loads an ELF program, or the interpreter of a script; None for a static program. elf(5)."""
    if program.startswith(b"#!"):
        return (program[2:].split(None, 1) or [b"?"])[0].decode(errors="replace")
    if not program.startswith(b"\x7fELF\x02\x01"):
        return "a program of another kind"
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for index in range(count):
        start = table + index * size
        if start + 56 > len(program):
            break
        kind, _, offset = struct.unpack_from("<IIQ", program, start)
        if kind == _PT_INTERP:
            return program[offset : offset + 256].partition(b"\0")[0].decode(errors="replace")
    return None
