"""Folders of hosts: the artifacts and logs of guests, hard-linked in, and what is known of each guest.

`hosts/HOST.RUN/` is the daemon's; `own/` in there is the host's, and not looked into but for its socket. `GUEST.json`
says which run of a guest it is: it is written before the host is told to start it, and goes when its end was noted, so
that the next daemon knows whom to ask for, and takes nothing for a guest that is none.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fourfold.errors import WorldError
from fourfold.launch.model import User
from fourfold.store.files import trees
from fourfold.supervise.hosts.link import OWN

log = logging.getLogger(__name__)

_GONE = ".gone-"
_TRIES = 3
"""At removing a folder: meanwhile something in it may get another name."""


@dataclass(frozen=True)
class Record:
    run: int
    grace: float
    """Seconds that it has to end."""
    log: str
    log_bytes: int
    limits: Mapping[str, Any]
    """As in `launch.model.Limits`: of its process, where it has one."""
    pid: int | None = None
    """Of its process, or of its host; None: not known to have started."""
    start_time: int = 0


class HostFolders:
    def __init__(self, home: Path) -> None:
        self._home = home

    def path(self, host: str) -> Path:
        """`host`: with its run, `shop.webapps-1-k7f2.1`."""
        return self._home / host

    def make(self, host: str, user: User | None) -> None:
        """For a run that is about to start; `user` is the host's. WorldError."""
        folder = self.path(host)
        shared = 0o711 if user is not None else 0o700
        try:
            with suppress(FileExistsError):
                self._home.mkdir(mode=shared, parents=True)
                self._home.chmod(shared)
            self.discard(folder)
            folder.mkdir()
            folder.chmod(shared)
            own = folder / OWN
            own.mkdir(mode=0o700)
            if user is not None:
                os.chown(own, user.uid, user.gid)
        except OSError as error:
            raise WorldError(
                f"cannot start {host}: {error.filename}: {error.strerror}",
                f"see that {self._home} can be written to",
            ) from error

    def owner(self, host: str) -> User:
        """Whom the host runs as, by the folder that was made for it."""
        own = (self.path(host) / OWN).lstat()
        return User(own.st_uid, own.st_gid, name=str(own.st_uid))

    def place(self, host: str, guest: str, tree: Path, record: Record) -> None:
        """The artifact `tree` and the log of a guest, and its record. WorldError."""
        try:
            self._place(host, guest, tree, record)
        except OSError as error:
            raise WorldError(
                f"cannot start {guest}: {error.filename2 or error.filename}: {error.strerror}",
                f"see that {self._home} has room, and is on one disk with artifacts and logs",
            ) from error

    def _place(self, host: str, guest: str, tree: Path, record: Record) -> None:
        folder = self.path(host)
        for away in self.clear(host, guest):
            self.discard(away)
        owner = self.owner(host)
        handle = os.open(record.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchown(handle, owner.uid, owner.gid)
        finally:
            os.close(handle)
        os.link(record.log, folder / f"{guest}.log")
        staged = folder / f".{guest}.new"
        trees.copy(tree, staged, link=True)
        trees.seal(staged)
        staged.rename(folder / guest)
        self.note(host, guest, record)

    def note(self, host: str, guest: str, record: Record) -> None:
        """OSError."""
        folder = self.path(host)
        staged = folder / f".{guest}.json"
        staged.write_text(json.dumps(asdict(record)))
        staged.rename(folder / f"{guest}.json")

    def records(self, host: str) -> Mapping[str, Record]:
        """Guest -> what is known of it."""
        found = {}
        with suppress(OSError):
            for path in self.path(host).glob("[!.]*.json"):
                try:
                    found[path.name.removesuffix(".json")] = Record(**json.loads(path.read_text()))
                except (OSError, ValueError, TypeError) as error:
                    log.warning("cannot read %s: %s", path, error)
        return found

    def clear(self, host: str, guest: str) -> list[Path]:
        """Take a guest's things out of sight. -> folders that `discard` is still to remove."""
        folder = self.path(host)
        for name in (f"{guest}.json", f"{guest}.log", f".{guest}.json"):
            with suppress(OSError):
                (folder / name).unlink()
        away = []
        for name in (guest, f".{guest}.new"):
            with suppress(FileNotFoundError):
                away.append((folder / name).rename(folder / f"{_GONE}{secrets.token_hex(8)}"))
        return away

    def left(self, kept: Collection[str]) -> list[Path]:
        """Of hosts that run no more, and of guests of those that do, what is still to be removed."""
        try:
            folders = list(self._home.iterdir())
        except OSError:
            return []
        return [folder for folder in folders if folder.name not in kept] + [
            away for folder in folders if folder.name in kept for away in folder.glob(f"{_GONE}*")
        ]

    def discard(self, folder: Path) -> None:
        """What cannot be removed stays until the next daemon comes. Programs that go by descriptors, however deep."""
        said = ""
        for _ in range(_TRIES):
            if not folder.exists():
                return
            if os.geteuid() != 0:  # folders only: files are links to those of artifacts, and have their mode
                opened = ["/usr/bin/find", str(folder), "-type", "d", "-exec", "/bin/chmod", "u+rwx", "{}", ";"]
                subprocess.run(opened, capture_output=True)
            said = subprocess.run(["/bin/rm", "-rf", "--", folder], capture_output=True, text=True).stderr.strip()
        if folder.exists():
            log.warning("cannot remove %s: %s", folder, said[:500])
