"""What an exported image tells its guest: the program and how it is run, on a machine that nothing is known of. Pure.

Secrets are not in it, nor are the addresses of other services: whoever runs the image has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fourfold.launch.accounts import ROOT_GROUP, ROOT_PASSWD, account, named
from fourfold.launch.vm import INIT, is_whole_system
from fourfold.spec.model import Service

_MOST_PROCESSES = 4096


@dataclass(frozen=True)
class Program:
    """As an image of the service says it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str
    """As images say it; empty is root."""
    stop_signal: str
    """`SIGTERM`"""


def entries(program: Program, service: Service, name: str, passwd: str, group: str) -> tuple[tuple[str, str], ...]:
    """Of the guest's configuration, see guest/README.md. `passwd` and `group` are the image's files; empty: none.

    Raises UserError for a user that the image does not have.
    """
    who = account(program.user or "0", passwd or ROOT_PASSWD, group or ROOT_GROUP)
    passwd, group = named(who.user, passwd or ROOT_PASSWD, group or ROOT_GROUP)
    env = {"HOME": who.user.home, **program.env, **{use.env: use.file for use in service.secrets if use.file}}
    files = {
        "/etc/hostname": f"{name}\n",
        "/etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{name}\n",
        "/etc/passwd": passwd,
        "/etc/group": group,
    }
    return (
        ("hostname", name),
        ("dhcp", "1"),
        *(("argv", word) for word in program.argv),
        *(("env", f"{key}={value}") for key, value in sorted(env.items())),
        ("cwd", program.cwd or "/"),
        ("uid", str(who.user.uid)),
        ("gid", str(who.user.gid)),
        *((("groups", ",".join(map(str, who.groups))),) if who.groups else ()),
        *(("file", f"{path}:644:0:0:{content}") for path, content in files.items()),
        ("pids", str(service.resources.pids or _MOST_PROCESSES)),
        ("stop", program.stop_signal.removeprefix("SIG")),
        ("grace", str(math.ceil(service.stop.grace))),
        *((("init", INIT),) if is_whole_system(service) else ()),
    )
