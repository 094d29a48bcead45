"""What this host lets us enforce, found out by trying it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from fourfold.launch.model import Powers
from fourfold.supervise import containers
from fourfold.supervise.cgroups import find as cgroupfind
from fourfold.supervise.cgroups.cgroups import Groups
from fourfold.supervise.containers import RUNTIMES
from fourfold.supervise.network import network
from fourfold.supervise.spawner.program import SPAWNER_ARGV

MOST_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")


def probe(state: Path) -> Powers:
    """All but containers, for a Fourfold with its `state` there: disk traffic is limited on the disk below it.

    Takes about 0.2 s and leaves nothing behind. Blocking: call it in a thread from asyncio.
    """
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask_spawner)
        groups = _groups(state)
        groups.close()
    tried, missing = asked.result()
    nested = bool(tried.get("user_namespace"))
    if nested and not tried["users"]:
        tried["users"] = "mount namespaces are only allowed inside a user namespace, which knows one user"
    tried["network"] = network.missing() or tried.get("network")
    for power in ("users", "private", "network"):
        if reason := tried.get(power):
            missing[power] = f"{_MEANING[power]}: {reason}"
    missing |= groups.missing
    if (reason := _functions(missing, nested, bool(groups.hierarchies))) is not None:
        missing["functions"] = reason
    return Powers(
        users="users" not in missing,
        private="private" not in missing,
        network="network" not in missing,
        cpu="cpu" not in missing,
        memory="memory" not in missing,
        pids="pids" not in missing,
        io="io" not in missing,
        user_namespace=nested,
        functions="functions" not in missing,
        missing=missing,
    )


def _functions(missing: Mapping[str, str], nested: bool, groups: bool) -> str | None:
    """Why there can be no sandboxes, as far as the other powers tell; None: nothing is known against them."""
    if os.geteuid() != 0 or nested:
        return "only root can make sandboxes"
    if needed := next((name for name in ("users", "private", "network") if name in missing), None):
        return missing[needed]
    if not groups:
        return "control groups keep sandboxes apart, and none can be made here"
    with suppress(OSError, ValueError):
        if int(MOST_NAMESPACES.read_text()) < 1:
            return f"user namespaces are switched off ({MOST_NAMESPACES} is 0)"
    return None


def with_containers(powers: Powers) -> Powers:
    """`powers` and which OCI runtimes work: each has to start a container. Takes 0.1 to 0.5 s, as `probe`."""
    groups = _groups(Path("/"))
    runtimes, why = containers.try_runtimes(groups)
    groups.close()
    known = {name: reason for name, reason in powers.missing.items() if name not in ("containers", *RUNTIMES)}
    return replace(powers, containers=bool(runtimes), runtimes=runtimes, missing=known | why)


def _groups(state: Path) -> Groups:
    """Of a home of its own: others may try the same at this moment."""
    return cgroupfind.find(Path(f"/nonexistent/probe-{os.getpid()}-{next(_number)}"), state)


_number = count()


def _ask_spawner() -> tuple[dict[str, str | bool | None], dict[str, str]]:
    """-> what its probe says; why everything is missing, where that does not work."""
    try:
        done = subprocess.run(
            [*SPAWNER_ARGV, "--probe"], capture_output=True, timeout=30, check=True, env={}, text=True
        )
        return json.loads(done.stdout), {}
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return {}, dict.fromkeys(_MEANING, f"the probe failed: {error}")


_MEANING = {
    "users": "cannot switch to another user",
    "private": "cannot make a mount namespace",
    "network": "cannot make a network",
}
