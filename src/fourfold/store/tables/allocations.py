"""Numbers given to a service and kept: its uid for ever (files in its volumes belong to it), its internal port.

Of an app of which nothing is left, no file either, the uids may be given again: that of a comparison's candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fourfold.errors import UserError
from fourfold.store.db import Database


class Uids:
    """One uid per (app, service), not given to another one after the service is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, app: str, service: str, among: range) -> int:
        """The uid of a service, the lowest free one of the range at the first time.

        Raises UserError when the range is used up.
        """
        with self._database.transaction():
            if known := _number(self._database, "uids", "uid", app, service):
                return known
            uid = _first_free(self._database, "uids", "uid", among)
            if uid is None:
                raise UserError(
                    f"cannot give service {service} of app {app} a user: all {len(among)} uids of the range are in use",
                    "widen the range of uids in fourfold.toml",
                )
            self._database.execute("INSERT INTO uids (app, service, uid) VALUES (?, ?, ?)", (app, service, uid))
            return uid

    def forget_app(self, app: str) -> None:
        self._database.execute("DELETE FROM uids WHERE app = ?", (app,))


class Ports:
    """One internal port of the gateway per (app, service), so that `<NAME>_URL` stays the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, app: str, service: str, among: range, taken: Callable[[int], bool]) -> int:
        """The port of a service; at the first time the lowest of the range that is not given and not `taken(port)`.

        A port that was given before is not asked about again: the gateway itself listens there.
        Raises UserError when there is none left.
        """
        with self._database.transaction():
            if known := _number(self._database, "ports", "port", app, service):
                return known
            port = _first_free(self._database, "ports", "port", among, taken)
            if port is None:
                raise UserError(
                    f"cannot give service {service} of app {app} an internal port: "
                    f"all of {among.start} to {among.stop - 1} are in use",
                    "widen the range of internal ports in fourfold.toml, or remove apps that are not needed",
                )
            self._database.execute("INSERT INTO ports (app, service, port) VALUES (?, ?, ?)", (app, service, port))
            return port

    def forget(self, app: str, service: str) -> None:
        """The service is gone, or another program has taken its port meanwhile: the next `of` chooses anew."""
        self._database.execute("DELETE FROM ports WHERE app = ? AND service = ?", (app, service))


def _number(database: Database, table: str, column: str, app: str, service: str) -> int | None:
    found = database.query(f"SELECT {column} FROM {table} WHERE app = ? AND service = ?", (app, service))
    return int(found[0][0]) if found else None


def _first_free(
    database: Database, table: str, column: str, among: Iterable[int], taken: Callable[[int], bool] = lambda _: False
) -> int | None:
    given = {number for (number,) in database.query(f"SELECT {column} FROM {table}")}
    return next((number for number in among if number not in given and not taken(number)), None)
