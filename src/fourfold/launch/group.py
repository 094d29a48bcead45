"""A group's own instances: hosts, which run as processes do, with a folder for their guests. See `build/hosts`."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

from fourfold.launch import process
from fourfold.launch.common import GUESTS, Facts
from fourfold.launch.model import Launch, Mount, Powers
from fourfold.spec.groups import JAVA, Group, Host
from fourfold.spec.model import Service

FOURFOLD_HOST = "FOURFOLD_HOST"
HEAP_SHARE = 0.6
"""Of its memory that a JVM may use as heap where nobody says: classes, code, threads and buffers take the rest."""
_HEAP = re.compile(r"-Xmx|-XX:(MaxHeapSize|MaxRAM|MaxRAMPercentage|MaxRAMFraction)=")
_ON_OUT_OF_MEMORY = re.compile(r"-XX:[+-]?(ExitOnOutOfMemoryError|CrashOnOutOfMemoryError|OnOutOfMemoryError)")


def launch(service: Service, facts: Facts) -> Launch:
    """The Launch of one host."""
    group = group_of(service)
    made = process.launch(service, facts)
    if facts.guests is None:
        return made  # what is run beside it
    folder = GUESTS if facts.powers.private else facts.guests
    told = {"kind": group.kind, "mode": group.mode, "folder": folder, "preload": group.preload}
    return replace(
        made,
        argv=(made.argv[0], *java_options(group), *made.argv[1:]) if group.kind in JAVA else made.argv,
        env={**made.env, FOURFOLD_HOST: json.dumps(told)},
        mounts=(*made.mounts, Mount(facts.guests, GUESTS)) if facts.powers.private else made.mounts,
        guests=facts.guests,
    )


def group_of(service: Service) -> Group:
    assert isinstance(service, Host)
    return service.group


def java_options(group: Group) -> tuple[str, ...]:
    """`java_opts`, and what it does not say: how much heap, and that a JVM without memory ends and starts again
    rather than to go on with members whose threads have died."""
    given = tuple(shlex.split(group.java_opts))
    usual = []
    if group.resources.memory is not None and not any(map(_HEAP.match, given)):
        usual.append(f"-Xmx{int(group.resources.memory * HEAP_SHARE) // (1024 * 1024)}m")
    if not any(map(_ON_OUT_OF_MEMORY.match, given)):
        usual.append("-XX:+ExitOnOutOfMemoryError")
    return (*usual, *given)


def refuse_impossible(service: Service, powers: Powers) -> None:
    """As `process.refuse_impossible`: a host is one."""
    process.refuse_impossible(service, powers)
