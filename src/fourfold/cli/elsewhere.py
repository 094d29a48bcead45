"""Other daemons on this machine: whoever finds no app here is told where it is."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from fourfold.paths import Paths

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
    for socket, how in _candidates():
        if socket == paths.socket or not _is_there(socket):
            continue
        apps = _apps(socket)
        if apps is None:
            yield f"another daemon runs at {socket}: {how}"
        elif app is None or app in apps:
            names = ", ".join(apps) or "no app"
            yield f"another daemon at {socket} has {names}: {how}"


def _candidates() -> Iterator[tuple[Path, str]]:
    mine = Paths.find({name: text for name, text in os.environ.items() if name != "FOURFOLD_HOME"}, os.getuid())
    yield mine.socket, "unset FOURFOLD_HOME to use it"
    if os.getuid() != 0:
        yield Path("/run/fourfold/fourfold.sock"), "it is root's, use sudo"
    for folder in Path("/run/user").glob("*/fourfold"):
        if folder.parent.name.isdigit() and int(folder.parent.name) != os.getuid():
            yield folder / "fourfold.sock", f"it belongs to {_user(int(folder.parent.name))}"


def _is_there(socket: Path) -> bool:
    """Also true when only its folder can be seen: then it is another user's."""
    return os.path.lexists(socket) or (socket.parent.is_dir() and not os.access(socket.parent, os.X_OK))


def _apps(socket: Path) -> list[str] | None:
    """None when it cannot be asked."""
    from fourfold.cli.client import Client
    from fourfold.control.views import AppView
    from fourfold.errors import FourfoldError

    try:
        return [app.name for app in Client(socket).get(list[AppView], "/v1/apps")]
    except FourfoldError:
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
