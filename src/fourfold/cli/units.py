"""The systemd unit of the daemon, as text."""

from __future__ import annotations

import os
from pathlib import Path

from fourfold.paths import Paths

NAME = "fourfold.service"


def unit(python: str, home: str | None, system: bool) -> str:
    """For the system's manager, or (`system` False) for a user's."""
    environment = f"Environment={_quoted(f'FOURFOLD_HOME={home}')}\n" if home else ""
    after = "After=network-online.target\nWants=network-online.target\n" if system else ""
    return f"""\
[Unit]
Description=Fourfold: deploys and supervises services
{after}
[Service]
# `systemctl start` returns when the daemon answers: a command right after it must not start another one.
Type=notify
TimeoutStartSec=5min
ExecStart={_quoted(python)} -m fourfold.daemon
{environment}Restart=always
RestartSec=1
# Settings, folders or a store that it cannot use will be no better in a second.
RestartPreventExitStatus=2
# Instances and the spawner outlive the daemon: a restart of the unit must not kill them.
KillMode=process
# The daemon makes a cgroup for each instance below its own.
Delegate=yes
LimitNOFILE=65536
TasksMax=infinity

[Install]
WantedBy={"multi-user.target" if system else "default.target"}
"""


def has(groups: str) -> bool:
    """Whether a process in these control groups (proc(5), /proc/PID/cgroup) is the unit's: systemd starts it again."""
    return any(f"/{NAME}" in line for line in groups.splitlines())


def is_enabled(paths: Paths) -> bool:
    """Whether systemd is to start the daemon of this home."""
    if paths.home is not None:  # its unit says so itself
        return False
    system = os.geteuid() == 0
    wanted = "multi-user.target.wants" if system else "default.target.wants"
    return (folder(system, Path.home()) / wanted / NAME).exists()


def folder(system: bool, home: Path) -> Path:
    """Where an administrator's or a user's own units belong (systemd.unit(5), table 1)."""
    return Path("/etc/systemd/system") if system else home / ".config/systemd/user"


def next_steps(system: bool, runs: bool) -> list[str]:
    """Commands to type after the unit was written; when a daemon `runs` already, it must make room first."""
    stop = ["fourfold daemon stop   # services keep running"] if runs else []
    if system:
        return [*stop, "systemctl daemon-reload", "systemctl enable --now fourfold", "fourfold doctor"]
    return [
        *stop,
        "systemctl --user daemon-reload",
        "systemctl --user enable --now fourfold",
        "loginctl enable-linger   # so that services run while you are logged out",
        "fourfold doctor",
    ]


def _quoted(text: str) -> str:
    """systemd.syntax(7): quotes keep blanks, `%` begins a specifier; `$` begins a variable in ExecStart."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != text or " " in text else text
