"""What this host lets us enforce, found out by trying it."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fourfold.launch.model import Powers
from fourfold.paths import Paths
from fourfold.supervise import cgroupfind, containers, network
from fourfold.supervise.cgroups import LIMITS
from fourfold.supervise.program import SPAWNER_ARGV


def probe(paths: Paths | None = None) -> Powers:
    """Takes about 0.3 s and leaves nothing behind. Blocking: call it in a thread from asyncio."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask_spawner)
        run, state = (paths.run, paths.state) if paths else (Path("/nonexistent"), Path("/"))
        groups = cgroupfind.find(run / f"probe-{os.getpid()}", state)  # others may try the same at this moment
        runtimes, why = containers.try_runtimes(groups)
        groups.close()
    tried, missing = asked.result()
    nested = bool(tried.get("user_namespace"))
    if nested and not tried["users"]:
        tried["users"] = "mount namespaces are only allowed inside a user namespace, which knows one user"
    tried["network"] = network.missing() or tried.get("network")
    for power in ("users", "private", "network"):
        if reason := tried.get(power):
            missing[power] = f"{_MEANING[power]}: {reason}"
    missing |= {**groups.missing, **why}
    there: dict[str, bool] = {power: power not in missing for power in ("users", "private", "network", *LIMITS)}
    return Powers(**there, user_namespace=nested, containers=bool(runtimes), runtimes=runtimes, missing=missing)


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
