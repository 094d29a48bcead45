"""What HAProxy says about itself, parsed, and the commands that bring its servers to what they should be. Pure.

Formats: HAProxy management guide, sections 9.1 (`show stat`), 9.3 (`show servers state`, `show servers conn`,
`show info`) and 9.4.2 (`show proc`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

from fourfold.errors import WorldError
from fourfold.gateway.backends import options, server_address
from fourfold.gateway.model import Backend, InstanceStats, RouteStats, Server
from fourfold.gateway.render import LAST_REQUEST

_ADMIN_MAINTENANCE = 0x01
_SERVER_STATE = ("be_id", "be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state", "srv_uweight")
_SERVER_PORT = 18
_WHOLE = "BACKEND"
"""In place of a server's name: all of them together."""
STATS = "# pxname,"
"""How what `show stat` says begins."""
_COLUMNS = (
    "# pxname", "svname", "req_tot", "hrsp_5xx", "hrsp_4xx", "scur", "rtime", "eresp", "bin", "bout", "dreq", "stot",
)  # fmt: skip
_STATS_WIDTH = 50
"""Other lines have fewer columns."""


@dataclass(frozen=True)
class Processes:
    """`show proc`: who serves. Old workers finish what they had when a reload replaced them."""

    master: int = 0
    failed: int = 0
    """Reloads that failed."""
    current: int | None = None
    old: tuple[int, ...] = ()


def processes(text: str) -> Processes:
    master, failed, current, old = 0, 0, None, []
    in_old = False
    for line in text.splitlines():
        words = line.split()
        if line.startswith("#"):
            in_old = line.startswith("# old")
        elif len(words) >= 3 and words[1] == "master":
            master = int(words[0])
            found = re.search(r"\[failed: (\d+)\]", line)
            failed = int(found[1]) if found else 0
        elif len(words) >= 3 and words[1] == "worker":
            if in_old:
                old.append(int(words[0]))
            else:
                current = int(words[0])
    return Processes(master, failed, current, tuple(old))


@dataclass(frozen=True)
class LiveServer:
    backend: str
    name: str
    host: str
    port: int
    admin: int
    """0 is ready; bits as in `show servers state`: 1 maintenance, 8 drain."""
    weight: int = 1


@dataclass(frozen=True)
class Live:
    """What one worker serves."""

    fingerprint: str
    servers: tuple[LiveServer, ...]
    backends: tuple[str, ...] = ()
    pid: int = 0
    """Who says so: the master answers for a worker that has just ended."""

    @property
    def names(self) -> frozenset[str]:
        """Instances."""
        return frozenset(server.name for server in self.servers)


def live(text: str) -> Live:
    """From `show info; show servers state; show backend`."""
    fingerprint, servers, backends, named, pid = "", [], [], False, 0
    for line in text.splitlines():
        words = line.split()
        if named and words:
            backends += words
            continue
        named = line == "# name"
        if line.startswith("description: "):
            fingerprint = line.removeprefix("description: ").strip()
        elif line.startswith("Pid: "):
            pid = int(words[1])
        elif len(words) > _SERVER_PORT and words[0].isdigit():
            row = dict(zip(_SERVER_STATE, words, strict=False))
            port, admin = int(words[_SERVER_PORT]), int(row["srv_admin_state"])
            weight = int(row["srv_uweight"])
            servers.append(LiveServer(row["be_name"], row["srv_name"], row["srv_addr"], port, admin, weight))
    return Live(fingerprint, tuple(servers), tuple(backends), pid)


def complaint(text: str) -> str:
    """The first line of what commands before a `show info` were answered."""
    said = text.partition("Name: ")[0]
    return next((line for line in said.splitlines() if line.strip()), "no reason given")


def changes(backends: Iterable[Backend], present: Iterable[LiveServer], cookie_key: str = "") -> list[str]:
    """The commands from what is live to what should be: new servers come before old ones go, and weights grow before
    others shrink, so that somebody takes requests at any moment.

    A server with requests in flight cannot be deleted: `del server` stays due until it is idle.
    """
    there = {(server.backend, server.name): server for server in present}
    comes: list[str] = []
    goes: list[str] = []
    weights: list[tuple[int, int, str]] = []
    """(present, wanted, server)"""
    for backend in backends:
        for server in backend.servers:
            here = there.pop((backend.name, server.name), None)
            name = f"{backend.name}/{server.name}"
            (goes if server.draining else comes).extend(_change(backend, server, here, cookie_key))
            if here is not None and not server.draining and here.weight != server.weight:
                weights.append((here.weight, server.weight, name))
    for (name, server_name), here in there.items():
        if not here.admin & _ADMIN_MAINTENANCE:
            goes.append(f"set server {name}/{server_name} state maint")
        goes.append(f"del server {name}/{server_name}")
    return [*comes, *_weigh(weights), *goes]


def _weigh(weights: list[tuple[int, int, str]]) -> Iterator[str]:
    """In an order in which the smaller ones never get more in between than before or after."""
    grow = sorted((each for each in weights if each[0] < each[1]), key=lambda each: (-each[1], each[2]))
    shrink = sorted((each for each in weights if each[0] > each[1]), key=lambda each: (each[0], each[2]))
    for _, wanted, name in (*grow, *shrink):
        yield f"set server {name} weight {wanted}"


def _change(backend: Backend, server: Server, here: LiveServer | None, cookie_key: str) -> Iterator[str]:
    """Clients with a cookie still get to a server in `drain`; one in `maint` ends what it has, and gets nothing more.

    A server that is added has no cookie until the key is set, to what it is: that names all servers anew.
    """
    name = f"{backend.name}/{server.name}"
    if server.draining:
        if here and not here.admin:
            yield f"set server {name} state {'maint' if backend.sticky else 'drain'}"
        return
    if here is None:
        yield f"add server {name} {server_address(server)} {options(server)}"
        if backend.sticky:
            yield f"set dynamic-cookie-key backend {backend.name} {cookie_key}"
        yield f"enable server {name}"
        return
    if (here.host, here.port) != (server.host, server.port):
        yield f"set server {name} addr {server.host} port {server.port}"
    if here.admin:
        yield f"set server {name} state ready"


def is_due_later(command: str) -> bool:
    return command.startswith("del server ")


def in_flight(text: str, processes: Processes) -> dict[str, int]:
    """Requests in flight per server, over all workers; from `show servers conn; show info` of each, in this order.

    Raises WorldError when one of them has not answered.

    An old worker no longer takes commands, and clients that it left idle may send it one more request each: for
    LAST_REQUEST seconds (and one, for clocks) after the reload that request counts too, on every server it knows.
    """
    counted: dict[str, int] = {}
    rows: list[str] = []
    known: dict[int, list[str]] = {}
    facts: dict[tuple[int, str], int] = {}
    used = pid = 0
    for line in text.splitlines():
        words = line.split()
        if line.startswith("# ") and "used_cur" in words:
            used = words.index("used_cur") - 1
        elif used and len(words) > used and "/" in words[0]:
            name = words[0].partition("/")[2]
            rows.append(name)
            counted[name] = counted.get(name, 0) + int(words[used])
        elif line.startswith("Pid: "):
            pid = int(words[1])
            known[pid], rows = rows, []
        elif line.startswith(("Uptime_sec: ", "CurrConns: ")):
            facts[pid, words[0]] = int(words[1])
    if silent := {processes.current, *processes.old} - known.keys():
        raise WorldError(f"cannot count requests in flight: no answer from worker {', '.join(map(str, silent))}")
    if facts.get((processes.current or 0, "Uptime_sec:"), 0) <= LAST_REQUEST + 1:
        for old in processes.old:
            for name in set(known.get(old, ())) if facts.get((old, "CurrConns:")) else ():
                counted[name] += 1
    return counted


def has_clients(text: str) -> bool:
    """From `show info`; a worker that has ended says nothing."""
    return any(line.startswith("CurrConns: ") and int(line.split()[1]) for line in text.splitlines())


def has_stopped(text: str) -> bool:
    """From `show info`: whether it accepts no connections any more; a worker that has ended says nothing."""
    return "Stopping: 0" not in text.splitlines()


def worker_identity(text: str) -> tuple[str, str]:
    """(pid, start time) from `show info`: a worker's counters start at 0 with it."""
    facts = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return facts.get("Pid", ""), facts.get("Start_time_sec", "")


def counters(text: str, routes: Mapping[str, tuple[str, str]]) -> tuple[list[RouteStats], list[InstanceStats]]:
    """From `show stat -1 6 -1`; `routes`: backend -> (service, route). Of each instance one for each route.

    A server's own counters know what it answered; `eresp` is what it took and did not answer, which HAProxy 3.0 counts
    twice where the connection was reset: no more can be than it was sent (`stot`) and did not answer.
    """
    of_routes, of_instances = [], []
    for backend, server, *numbers in _stat_rows(text):
        if backend not in routes:
            continue
        # Those of a proxy that is not of HTTP are empty.
        requests, errors_5xx, errors_4xx, in_flight, milliseconds, failed, received, sent, refused, given = [
            int(number) if number else 0 for number in numbers
        ]
        if server == _WHOLE:
            counts = requests, errors_5xx, errors_4xx, in_flight, received, sent
            of_routes.append(RouteStats(*routes[backend], *counts, milliseconds / 1000, refused))
        else:
            lost = min(failed, given - requests)
            answered = requests + lost, errors_5xx + lost, errors_4xx, in_flight
            of_instances.append(InstanceStats(server, *answered, milliseconds / 1000))
    return of_routes, of_instances


def _stat_rows(text: str) -> Iterator[tuple[str, ...]]:
    """Of each row `_COLUMNS`."""
    rows = csv.reader(text.splitlines())
    for row in rows:
        if row and row[0] == STATS.rstrip(","):
            picked = itemgetter(*map(row.index, _COLUMNS))
            yield from (picked(row) for row in rows if len(row) > _STATS_WIDTH)
