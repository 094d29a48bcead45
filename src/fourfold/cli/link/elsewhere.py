"""Other daemons on this machine: whoever finds no app here is told where it is."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fourfold.paths import Paths

PATIENCE = 3.0
"""Seconds that another daemon may take to answer; one that is stopped never does."""
_UNIX = Path("/proc/net/unix")
START = "start one with `fourfold up` in the folder of your app, or `fourfold daemon`"


def hint_for(paths: Paths, app: str | None) -> str:
    """What to do when nothing answers at `paths`, or the app is not there."""
    found = list(others(paths, app))
    return "; ".join([*found, START]) if found else START


def hint_for_missing(paths: Paths, app: str, hint: str | None) -> str | None:
    """What to do when something was not found: where `app` is, if this daemon does not have it and another has."""
    here = _apps(paths.socket)
    if here is None or app in here:
        return hint
    return "; ".join(others(paths, app)) or hint


def others(paths: Paths, app: str | None) -> Iterator[str]:
    """A sentence for each daemon of another user or home; with `app`, only those that have it or cannot be asked."""
    for socket in bound(_table()):
        if socket == paths.socket or _is_gone(socket):
            continue
        apps, how = _apps(socket), _how(socket)
        if apps is None:
            yield f"another daemon runs at {socket}: {how}"
        elif app is None or app in apps:
            names = ", ".join(filter(str.isprintable, apps)) or "no app"  # whoever answers there may be anybody
            yield f"another daemon at {socket} has {names}: {how}"


def _table() -> str:
    with suppress(OSError):  # where /proc is restricted nothing can be told
        return _UNIX.read_text(errors="surrogateescape")
    return ""


def bound(table: str) -> list[Path]:
    """The daemons' sockets in what /proc/net/unix says: whose process has ended is not there (proc(5))."""
    rows = [line.split(None, 7) for line in table.splitlines()]
    found = {Path(row[7]) for row in rows if len(row) == 8 and row[7].startswith("/")}
    name = Paths.find({}, 0).socket.name
    return sorted(path for path in found if path.name == name and str(path).isprintable())


def _is_gone(socket: Path) -> bool:
    """Its folder was deleted under the daemon. Not when it cannot be seen: then it is another user's."""
    try:
        socket.lstat()
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


def _how(socket: Path) -> str:
    """Whose it is, or how to use it."""
    owner = _owner(socket)
    if socket == Paths.find({**os.environ, "FOURFOLD_HOME": ""}, os.geteuid()).socket:
        return "unset FOURFOLD_HOME to use it"
    setting = {"run": f"FOURFOLD_HOME={socket.parent.parent}", "fourfold": f"XDG_RUNTIME_DIR={socket.parent.parent}"}
    if owner == os.geteuid():
        return f"set {setting.get(socket.parent.name, 'FOURFOLD_HOME')} to use it"
    extra = f", with {setting['run']}" if socket.parent.name == "run" else ""
    return f"it is root's, use sudo{extra}" if owner == 0 else f"it belongs to {_user(owner)}{extra}"


def _owner(socket: Path) -> int:
    """Of the socket, or of the innermost folder that can be seen."""
    for path in (socket, *socket.parents):
        with suppress(OSError):
            return path.stat().st_uid
    return 0


def _apps(socket: Path) -> list[str] | None:
    """None when it cannot be asked."""
    from fourfold.cli.link.client import Client
    from fourfold.cli.link.endpoint import local
    from fourfold.errors import FourfoldError

    try:
        return [app.name for app in Client(local(socket), patience=PATIENCE).get("/v1/apps")]
    except FourfoldError:
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
