"""Facts for the launcher of functions: what an invoker gets on this host, and where it is found there."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fourfold.functions.model import SandboxNetwork
from fourfold.launch.common import FunctionFacts
from fourfold.paths import Paths
from fourfold.store.files.artifacts import Function
from fourfold.supervise import logs
from fourfold.supervise.model import Exit
from fourfold.supervise.network.bridge import BridgeNetwork

_CANNOT = re.compile(r"^\[fourfold\] cannot (start|go on with) function \S+: (.*)$", re.MULTILINE)
"""What `functions.__main__` says."""
_NAME_LENGTH = 12
"""Of a socket: its whole path has to fit into `paths.LONGEST_SOCKET` bytes, and instance ids are long."""


def socket_of(paths: Paths, instance: str) -> Path:
    """Where the invoker of an instance takes events from the daemon."""
    return paths.functions / hashlib.sha256(instance.encode()).hexdigest()[:_NAME_LENGTH]


def usage_folder(paths: Paths, app: str, service: str) -> Path:
    return paths.usage / f"{app}.{service}"


def function_facts(
    paths: Paths,
    bridge: BridgeNetwork,
    function: Function,
    tree: Path,
    instance: str,
    block: str,
    key: str,
    named: tuple[str, str],
    region: str,
) -> FunctionFacts:
    """`tree`: the artifact's folder; `key`: app and service; `named`: see `Lambdas.named`."""
    app, _, service = key.partition(".")
    return FunctionFacts(
        interpreter=sys.executable,
        kind=function.kind,
        argv=function.argv,
        handler=function.handler,
        layers=tuple(str(tree / layer) for layer in function.layers),
        memory=function.memory,
        socket=str(socket_of(paths, instance)),
        usage=str(usage_folder(paths, app, service)),
        network=SandboxNetwork(bridge.name, bridge.gateway, bridge.address.network.prefixlen, block),
        name=named[0],
        version=named[1],
        region=region,
        hidden=tuple(os.path.realpath(folder) for folder in (paths.state, paths.run)),
    )


def explained(paths: Paths, exit: Exit) -> Exit:
    """Of an invoker that could not start, or go on: in the words that it left in its log.

    It has no limit of its own: memory that ran out was a sandbox's, which cgroup v2 counts for the groups above too.
    """
    exit = replace(exit, oom=False)
    if exit.code != 1:
        return exit
    found = _CANNOT.findall(logs.end_of(logs.path_of(paths, exit.instance, exit.run)))
    if not found:
        return exit
    what, why = found[-1]
    happened = "its first sandbox did not come up" if what == "start" else "its invoker could not go on"
    return replace(exit, said=f"{happened}: {why.strip()}")


def clear_sockets(paths: Paths, instances: Collection[str]) -> None:
    """Remove those of instances that are no more."""
    kept = {socket_of(paths, name).name for name in instances}
    with suppress(OSError):
        for entry in list(paths.functions.iterdir()):
            if entry.name.partition(".")[0] not in kept:
                entry.unlink(missing_ok=True)
