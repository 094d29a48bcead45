"""HAProxy's answers, parsed, and the commands that follow from them."""

from __future__ import annotations

import json

import pytest

from fourfold.errors import WorldError
from fourfold.gateway.counters import Counters, stored_counters
from fourfold.gateway.model import Backend, InstanceStats, RouteStats, Server
from fourfold.gateway.runtime import LiveServer, Processes, changes, complaint, counters, in_flight, live, processes
from fourfold.gateway.served import Served

PROC = """#<PID>          <type>          <reloads>       <uptime>        <version>
1162            master          5 [failed: 2]   0d00h02m07s     2.6.12-1+deb12u4
# workers
1271            worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
1233            worker          3               0d00h00m43s     2.6.12-1+deb12u4
1234            worker          1               0d00h00m43s     2.6.12-1+deb12u4
# programs

"""


def test_processes() -> None:
    assert processes(PROC) == Processes(1162, 2, 1271, (1233, 1234))
    assert processes("") == Processes()
    assert processes("1162 master 0 0d00h00m00s 2.8.0\n# workers\n# programs\n") == Processes(1162)


HEAD = "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est idle_per_thr[2]\n"


def of_worker(pid: int, used: dict[str, int], uptime: int = 100, connections: int = 0) -> str:
    rows = "".join(f"a.b/{name} 3/1 127.0.0.1 80 - 1000 {count} 9 9 0 0\n" for name, count in used.items())
    return f"{HEAD}{rows}\nName: HAProxy\nPid: {pid}\nUptime_sec: {uptime}\nCurrConns: {connections}\n\n"


@pytest.mark.parametrize(
    ("text", "old", "expected"),
    [
        (of_worker(1, {"x": 2, "y": 0}), (), {"x": 2, "y": 0}),
        (of_worker(1, {"x": 2}) + of_worker(2, {"x": 1, "z": 3}), (2,), {"x": 3, "z": 3}),
        # an old worker whose idle clients may still ask once more
        (of_worker(1, {"x": 2}, 5) + of_worker(2, {"x": 0, "z": 0}, 99, 4), (2,), {"x": 3, "z": 1}),
        (of_worker(1, {"x": 2}, 5) + of_worker(2, {"x": 0, "z": 0}, 99, 0), (2,), {"x": 2, "z": 0}),
        (of_worker(1, {"x": 2}, 12) + of_worker(2, {"x": 0}, 99, 4), (2,), {"x": 2}),
        # a column more
        ("# bkname/svname bkid/svid addr port - new used_cur\na.b/x 3/1 127.0.0.1 80 - 7 2\nPid: 1\n", (), {"x": 2}),
    ],
)
def test_in_flight(text: str, old: tuple[int, ...], expected: dict[str, int]) -> None:
    assert in_flight(text, Processes(0, 0, 1, old)) == expected


@pytest.mark.parametrize(
    "text",
    ["", of_worker(2, {"x": 1}), of_worker(1, {"x": 2}) + "Can't find the target PID matching the prefix\n"],
)
def test_without_every_answer_nobody_knows(text: str) -> None:
    with pytest.raises(WorldError, match="no answer from worker"):
        in_flight(text, Processes(0, 0, 1, (2,)))


def test_live() -> None:
    text = (
        "Name: HAProxy\ndescription: abc\n\n1\n# be_id be_name …\n"
        "3 a.b 1 s1 127.0.0.1 2 8 1 1 22 1 0 2 0 0 0 0 - 18101 - 0 0 - - 0\n\n"
    )
    assert live(text).fingerprint == "abc"
    assert live(f"{text}# name\na.b\na.b.2\n\n").backends == ("a.b", "a.b.2")
    assert live(text).servers == (LiveServer("a.b", "s1", "127.0.0.1", 18101, 8),)
    assert live(f"{PROC}\n{text}") == live(text)
    assert (live(text).pid, live(of_worker(7, {})).pid) == (0, 7)


def test_what_commands_were_answered_is_told_without_what_was_asked_behind_them() -> None:
    assert complaint("\nNo such server.\n\nName: HAProxy\nPid: 1\n") == "No such server."
    assert complaint("\n\nName: HAProxy\n") == "no reason given"


def here(name: str, admin: int = 0, port: int = 80, weight: int = 1) -> LiveServer:
    return LiveServer("a.b", name, "127.0.0.1", port, admin, weight)


def there(name: str, draining: bool = False, port: int = 80, weight: int = 1) -> Server:
    return Server(name, "127.0.0.1", port, draining, weight)


OPTIONS = "pool-max-conn -1 pool-purge-delay 500ms"


@pytest.mark.parametrize(
    ("wanted", "present", "commands"),
    [
        ([], [], []),
        ([there("x")], [here("x")], []),
        ([there("x")], [], [f"add server a.b/x 127.0.0.1:80 {OPTIONS}", "enable server a.b/x"]),
        ([there("x")], [here("x", 1)], ["set server a.b/x state ready"]),
        ([there("x")], [here("x", 8)], ["set server a.b/x state ready"]),
        ([there("x", port=81)], [here("x")], ["set server a.b/x addr 127.0.0.1 port 81"]),
        ([there("x", draining=True)], [here("x")], ["set server a.b/x state drain"]),
        ([there("x", draining=True)], [here("x", 8)], []),
        ([there("x", draining=True)], [here("x", 1)], []),
        ([there("x", draining=True)], [], []),
        ([], [here("x")], ["set server a.b/x state maint", "del server a.b/x"]),
        (
            [there("x", weight=0)],
            [],
            [f"add server a.b/x 127.0.0.1:80 {OPTIONS} weight 0", "enable server a.b/x"],
        ),
        ([there("x", weight=7)], [here("x", weight=7)], []),
        ([there("x", draining=True, weight=7)], [here("x", 8)], []),
        # what is to have more grows first, what has less shrinks first
        (
            [there("new", weight=53), there("old", weight=256)],
            [here("new", weight=0), here("old")],
            ["set server a.b/old weight 256", "set server a.b/new weight 53"],
        ),
        (
            [there("new"), there("old", weight=0)],
            [here("new", weight=0), here("old")],
            ["set server a.b/new weight 1", "set server a.b/old weight 0"],
        ),
        (
            [there("new"), there("old")],
            [here("new", weight=53), here("old", weight=256)],
            ["set server a.b/new weight 1", "set server a.b/old weight 1"],
        ),
        ([], [here("x", 1)], ["del server a.b/x"]),
        (
            [there("y", draining=True), there("x")],
            [here("z"), here("y")],
            [
                f"add server a.b/x 127.0.0.1:80 {OPTIONS}",
                "enable server a.b/x",
                "set server a.b/y state drain",
                "set server a.b/z state maint",
                "del server a.b/z",
            ],
        ),
    ],
)
def test_changes(wanted: list[Server], present: list[LiveServer], commands: list[str]) -> None:
    assert changes([Backend("a.b", tuple(wanted))], present) == commands


def test_servers_of_sticky_services_get_a_cookie_and_lose_their_clients_when_they_drain() -> None:
    wanted = Backend("a.b", (Server("new", "127.0.0.1", 2), Server("old", "127.0.0.1", 1, draining=True)), sticky=True)
    assert changes([wanted], [LiveServer("a.b", "old", "127.0.0.1", 1, 0)], "key") == [
        "add server a.b/new 127.0.0.1:2 pool-max-conn -1 pool-purge-delay 500ms",
        "set dynamic-cookie-key backend a.b key",
        "enable server a.b/new",
        "set server a.b/old state maint",
    ]


@pytest.mark.parametrize("failed", [1, 2], ids=["once", "twice, as HAProxy 3.0 counts"])
def test_counters_need_their_columns_only(failed: int) -> None:
    filler = [f"f{number}" for number in range(60)]
    names = [
        "# pxname",
        "svname",
        "scur",
        "bin",
        "bout",
        "hrsp_4xx",
        "hrsp_5xx",
        "req_tot",
        "rtime",
        "eresp",
        "dreq",
        "stot",
        *filler,
    ]
    whole = ["a.b", "BACKEND", "1", "10", "20", "4", "6", "9", "1500", "1", "2", "10"]
    one = ["a.b", "a.b-1-x", "1", "10", "20", "4", "5", "9", "1500", str(failed), "", "10"]
    text = "Pid: 1\n\n" + "\n".join(",".join([*row, *("" for _ in filler)]) for row in (whole, one)) + "\n\n"
    text = text.replace("Pid: 1\n\n", "Pid: 1\n\n" + ",".join(names) + "\n")
    of_routes, of_instances = counters(text, {"a.b": ("a.b", "/x")})
    assert of_routes == [RouteStats("a.b", "/x", 9, 6, 4, 1, 10, 20, 1.5, 2)]
    assert of_instances == [InstanceStats("a.b-1-x", 10, 6, 4, 1, 1.5)]
    assert counters(text, {}) == ([], [])


def stats(requests: int, route: str = "/x") -> list[RouteStats]:
    return [RouteStats("a.b", route, requests, 1, 2, 3, 4, 5, 0.5)]


def test_counters_add_up_over_workers() -> None:
    total = Counters()
    assert total.totals() == []
    assert total.read(("1", "0"), stats(5))[0].requests == 5
    assert total.read(("1", "0"), stats(7))[0].requests == 7
    assert total.read(("2", "9"), stats(1))[0].requests == 8
    assert total.read(("2", "9"), stats(2)) == [RouteStats("a.b", "/x", 9, 2, 4, 3, 8, 10, 0.5)]
    assert total.read(("2", "30"), stats(1))[0].requests == 10  # the same pid, started anew
    assert total.read(("3", "31"), stats(4, "/y"))[0].requests == 4
    assert total.read(("4", "32"), stats(1))[0].requests == 1  # it was gone: counted from its new start


def test_counters_go_on_in_another_daemon() -> None:
    total = Counters()
    total.serves("f1", {"a.b": ("a.b", "/x")})
    total.read(("1", "0"), stats(5))
    total.read(("2", "9"), stats(3))
    again = stored_counters(total.text())
    assert (again.fingerprint, again.routes) == ("f1", {"a.b": ("a.b", "/x")})
    assert again.totals() == total.totals()
    assert again.read(("2", "9"), stats(4))[0].requests == 9
    assert again.read(("3", "12"), stats(1))[0].requests == 10
    assert stored_counters('{"last": [{"other": 1}]}').totals() == []


def answered(requests: int, name: str = "x", seconds: float = 0.5, in_flight: int = 1) -> InstanceStats:
    return InstanceStats(name, requests, 1, 2, in_flight, seconds)


def test_what_instances_answered_adds_up_over_routes_and_workers() -> None:
    served = Served()
    served.read(("1", "0"), [answered(5), answered(15, seconds=1.5), answered(3, "y")])
    assert dict(served.totals()) == {"x": InstanceStats("x", 20, 2, 4, 2, 1.25), "y": answered(3, "y")}
    served.read(("2", "9"), [answered(20, seconds=0.25, in_flight=0)])
    assert dict(served.totals()) == {"x": InstanceStats("x", 40, 3, 6, 0, 0.75)}
    served = Served(json.loads(json.dumps(served.stored())))
    served.read(("2", "9"), [answered(21)])
    assert served.totals()["x"].requests == 41
    served.read(("2", "9"), [answered(2)])  # started again meanwhile, and so a new server
    assert served.totals()["x"] == answered(2)
    served.read(("2", "9"), [])
    served.read(("2", "9"), [answered(1)])
    assert served.totals()["x"] == answered(1)


def test_what_all_runs_of_an_instance_answered_only_grows() -> None:
    served = Served()

    def ever() -> dict[str, tuple[int, float]]:
        return {name: (each.requests, each.response_seconds) for name, each in served.ever().items()}

    served.read(("1", "0"), [answered(5), answered(3, "y")])
    served.read(("1", "0"), [answered(2, seconds=0.25), answered(4, "y")])  # x was started again
    assert ever() == {"x": (7, 0.25), "y": (4, 0.5)}
    served.read(("2", "9"), [answered(1)])  # y is gone
    served = Served(json.loads(json.dumps(served.stored())))
    assert ever() == {"x": (8, 0.5), "y": (4, 0.5)}
    served.read(("2", "9"), [])
    assert {name: requests for name, (requests, _) in ever().items()} == {"x": 8, "y": 4}
    served.keep(["x"])
    assert served.ever().keys() == {"x"}
    again = Served(json.loads(json.dumps(served.stored())))
    again.read(("2", "9"), [answered(4)])
    again.left({"x", "z"})
    again.read(("2", "9"), [answered(6)])  # more than before: only who was told knows that it was started again
    assert again.ever()["x"].requests == 18 and again.totals()["x"].requests == 6
    served.read(("2", "9"), [answered(1)])
    assert {name: requests for name, (requests, _) in ever().items()} == {"x": 9}
    left = Counters(json.dumps({"served": served.stored()})).cleared()
    assert not left.served.totals() and left.served.ever()["x"].requests == 9
