"""Users and groups in a container: who an image says to run as, and the passwd and group files that know them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fourfold.errors import UserError
from fourfold.launch.model import User

ROOT_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
ROOT_GROUP = "root:x:0:\nnogroup:x:65534:\n"
"""For images that have no such files."""


@dataclass(frozen=True)
class Account:
    user: User
    groups: tuple[int, ...] = ()
    """Others that it is a member of."""


def account(who: str, passwd: str, group: str) -> Account:
    """`who` is an image's `User` (OCI image-spec, config.md): a name or uid, perhaps `:` and a group. UserError."""
    name, _, group_name = who.partition(":")
    line = next((line for line in _lines(passwd, 7) if name in (line[0], line[2])), None)
    if line is None and not name.isdecimal():
        raise UserError(
            f"cannot run as {who}: the image knows no user {name!r}", "build the image with that user in /etc/passwd"
        )
    uid, gid = (int(line[2]), int(line[3])) if line else (int(name), 0)
    home = (line[5] if line else "") or "/"
    if group_name:
        gid = _gid(group_name, group, who)
    name = line[0] if line else f"user{uid}"
    more = () if group_name else tuple(int(each[2]) for each in _lines(group, 4) if name in each[3].split(","))
    return Account(User(uid, gid, name, home), more)


def named(user: User, passwd: str, group: str) -> tuple[str, str]:
    """The two files with `user` in them: some runtimes fail for a uid without a name."""
    if not any(line[2] == str(user.uid) for line in _lines(passwd, 7)):
        passwd = _ended(passwd) + f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:/bin/sh\n"
    if not any(line[2] == str(user.gid) for line in _lines(group, 4)):
        group = _ended(group) + f"{user.name}:x:{user.gid}:\n"
    return passwd, group


def _gid(name: str, group: str, who: str) -> int:
    line = next((line for line in _lines(group, 4) if name in (line[0], line[2])), None)
    if line is None and not name.isdecimal():
        raise UserError(
            f"cannot run as {who}: the image knows no group {name!r}", "build the image with that group in /etc/group"
        )
    return int(line[2]) if line else int(name)


def _lines(text: str, fields: int) -> Iterator[list[str]]:
    """Those that are whole, with numbers where ids belong."""
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == fields and parts[2].isdecimal() and (fields == 4 or parts[3].isdecimal()):
            yield parts


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
