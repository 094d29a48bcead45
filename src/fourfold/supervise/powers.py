"""What this host lets us enforce, found out by trying it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from fourfold.launch.model import Powers
from fourfold.paths import Paths
from fourfold.supervise import cgroupfind, containers, network
from fourfold.supervise.cgroups import LIMITS
from fourfold.supervise.program import SPAWNER_ARGV


def probe(paths: Paths | None = None) -> Powers:
    """Takes about 0.2 s and leaves nothing behind. Blocking: call it in a thread from asyncio."""
    missing: dict[str, str] = {}
    tried: dict[str, str | bool | None] = {}
    try:
        done = subprocess.run(
            [*SPAWNER_ARGV, "--probe"], capture_output=True, timeout=30, check=True, env={}, text=True
        )
        tried = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        missing = dict.fromkeys(_MEANING, f"the probe failed: {error}")
    nested = bool(tried.get("user_namespace"))
    if nested and not tried["users"]:
        tried["users"] = "mount namespaces are only allowed inside a user namespace, which knows one user"
    tried["network"] = network.missing() or tried.get("network")
    for power in ("users", "private", "network"):
        if reason := tried.get(power):
            missing[power] = f"{_MEANING[power]}: {reason}"
    run, state = (paths.run / "probe", paths.state) if paths else (Path("/nonexistent"), Path("/"))
    groups = cgroupfind.find(run, state)
    runtimes, why = containers.try_runtimes(groups, missing.get("users"))
    groups.close()
    missing |= {**groups.missing, **why}
    there: dict[str, bool] = {power: power not in missing for power in ("users", "private", "network", *LIMITS)}
    return Powers(**there, user_namespace=nested, containers=bool(runtimes), runtimes=runtimes, missing=missing)


_MEANING = {
    "users": "cannot switch to another user",
    "private": "cannot make a mount namespace",
    "network": "cannot make a network",
}
