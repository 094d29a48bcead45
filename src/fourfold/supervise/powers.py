"""What this host lets us enforce, found out by trying it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fourfold import spawner
from fourfold.launch.model import Powers
from fourfold.paths import Paths
from fourfold.supervise import cgroupfind, network
from fourfold.supervise.cgroups import LIMITS

SPAWNER_MAIN = str(Path(spawner.__file__).with_name("__main__.py"))
SPAWNER_ARGV = (sys.executable, "-I", "-S", "-X", "utf8", SPAWNER_MAIN)
"""Without site-packages: a small process that no installed package can disturb."""


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
    groups.close()
    missing |= groups.missing
    there = {power: power not in missing for power in ("users", "private", "network", *LIMITS)}
    return Powers(**there, user_namespace=nested, missing=missing)


_MEANING = {
    "users": "cannot switch to another user",
    "private": "cannot make a mount namespace",
    "network": "cannot make a network",
}
