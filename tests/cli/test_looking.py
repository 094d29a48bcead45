"""top, apps, doctor, gc, version, validate: what is printed, exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli.appname import need_file
from fourfold.cli.options import Options
from fourfold.cli.printing.top_table import SORTS, total
from fourfold.cli.printing.top_table import instances as top_table
from fourfold.control import views as v
from fourfold.errors import NotFoundError, WorldError
from tests.api.serving import Serving
from tests.cli.conftest import Cli


def test_top(cli: Cli, server: Serving, home: Path) -> None:
    row = v.TopRow(
        app="shop",
        service="catalog",
        instance="shop.web-3-k7f2",
        pattern="process",
        state="ready",
        cpu_percent=12.34,
        cpu_seconds=100,
        memory_bytes=31457280,
        memory_limit=268435456,
        processes=1,
        threads=4,
        descriptors=12,
        read_bytes=0,
        written_bytes=20000,
    )
    server.facade.rows = [row.model_copy(update={"instance": "shop.idle-1-a", "cpu_percent": 0.0}), row]
    traffic = v.TrafficView(requests=90, errors_5xx=2, errors_4xx=1, in_flight=0, response_seconds=0.0123)
    guest_row = row.model_copy(
        update={
            "instance": "shop.app-1-b", "pattern": "shared", "cpu_percent": 5.0, "memory": "estimated",
            "memory_limit": None, "processes": None, "descriptors": None, "read_bytes": None, "written_bytes": None,
            "requests_per_second": 4.04, "traffic": traffic,
        }
    )  # fmt: skip
    unknown = {"cpu_percent": None, "cpu_seconds": None, "cpu": "unknown", "memory_bytes": None, "memory": "unknown"}
    server.facade.rows = [guest_row.model_copy(update={**unknown, "instance": "shop.idle-1-a"}), guest_row, row]
    assert cli("top").out == (
        "INSTANCE         PATTERN  STATE  CPU %         CPU   MEMORY    LIMIT  PROCS  THREADS  FILES  READ  WRITTEN  "
        "REQ/S  5XX   MEAN\n"
        "shop.web-3-k7f2  process  ready   12.3  1 min 40 s   30 MiB  256 MiB      1        4     12   0 B   20 KiB  "
        "    -    -      -\n"
        "shop.app-1-b     shared   ready    5.0  1 min 40 s  ~30 MiB        -      -        4      -     -        -  "
        "  4.0    2  12 ms\n"
        "shop.idle-1-a    shared   ready      -           -        -        -      -        4      -     -        -  "
        "  4.0    2  12 ms\n"
    )
    guest = v.GuestView(cpu_seconds=1, memory_bytes=10485760, memory_total=52428800, processes=1)
    machine = row.model_copy(update={"pattern": "vm", "guest": guest})
    assert "30 MiB (10 MiB)  256 MiB (50 MiB)" in "\n".join(top_table([machine], with_app=True))
    assert cli("top", "--services").out == (
        "SERVICE       PATTERN          INSTANCES  CPU %         CPU   MEMORY  LIMIT  PROCS  THREADS  FILES  READ  "
        "WRITTEN  REQ/S  5XX   MEAN\n"
        "shop.catalog  process, shared          3   17.3  3 min 20 s  ~60 MiB      -      1       12     12   0 B   "
        "20 KiB    8.1    4  12 ms\n"
    )
    assert cli("top", "-a", "shop").out.endswith(
        "\nSERVICE  ROUTE     REQUESTS  5XX  4XX  REFUSED  IN FLIGHT   MEAN\n"
        "catalog  /catalog        12    0    1        0          0  10 ms\n"
    )


def top_row(name: str, **given: Any) -> v.TopRow:
    fields: dict[str, Any] = {
        "app": "shop", "service": "web", "instance": name, "pattern": "process", "state": "ready", "cpu_percent": 1.0,
        "cpu_seconds": 1.0, "memory_bytes": 100, "memory_limit": 200, "processes": 1, "threads": 1, "descriptors": 1,
        "read_bytes": 0, "written_bytes": 0,
    }  # fmt: skip
    return v.TopRow(**(fields | given))


def test_top_is_sorted_as_asked() -> None:
    traffic = v.TrafficView(requests=10, errors_5xx=3, errors_4xx=0, in_flight=1, response_seconds=0.1)
    rows = [
        top_row("a", cpu_percent=None, memory_bytes=None),
        top_row("b", traffic=traffic, requests_per_second=1.0),
        top_row("c", memory_bytes=300, requests_per_second=2.0),
        top_row("d", cpu_percent=9.0),
    ]
    orders = {sort: "".join(row.instance for row in sorted(rows, key=key)) for sort, key in SORTS.items()}
    assert orders == {"cpu": "dcba", "memory": "cbda", "requests": "cbad", "errors": "bacd", "name": "abcd"}


def test_what_a_service_takes_is_the_sum_of_what_is_known() -> None:
    slow = v.TrafficView(requests=10, errors_5xx=3, errors_4xx=0, in_flight=1, response_seconds=0.4)
    idle = v.TrafficView(requests=0, errors_5xx=0, errors_4xx=0, in_flight=0, response_seconds=0.0)
    whole = total(
        [top_row("a", traffic=slow), top_row("b", memory_limit=None, traffic=idle), top_row("c", threads=None)]
    )
    assert (whole.memory_bytes, whole.memory_limit, whole.threads) == (300, None, 2)
    assert whole.traffic is not None and (whole.traffic.requests, whole.traffic.response_seconds) == (10, 0.4)
    assert total([top_row("a", cpu_percent=None)]).cpu_percent is None


def test_apps(cli: Cli, server: Serving) -> None:
    assert cli("apps").out == (
        "APP   SERVICES  READY  GATEWAY                UPDATED  FILE\n"
        "shop         1    2/2  http://127.0.0.1:8080  1 h ago  /srv/shop/fourfold.yaml\n"
    )
    server.facade.apps_known = []
    assert cli("apps").err.startswith("no apps yet: start one with `fourfold up`")


def test_doctor(cli: Cli, server: Serving) -> None:
    assert cli("doctor").code == 0
    server.facade.checks.append(v.CheckView(name="bwrap", state="failed", message="is not there", hint="install it"))
    result = cli("doctor")
    assert (result.code, result.out) == (
        1,
        "CHECK    STATE   FOUND\nhaproxy  ok      HAProxy 2.6.12\nbwrap    failed  is not there\n  hint: install it\n",
    )
    assert json.loads(cli("doctor", "-o", "json").out)[1]["state"] == "failed"


def test_gc_and_version(cli: Cli, server: Serving) -> None:
    assert cli("gc").out == "removed 2 releases, 40 blobs; freed 50 MiB\n"
    result = cli("version")
    assert result.out.endswith("daemon 0.1.0 (pid 811)\nspawner 0.1.0 (pid 810)\n") and result.err == ""
    told = json.loads(cli("version", "-o", "json").out)
    assert told["daemon"] == {"version": "0.1.0", "pid": 811} and told["spawner"] == {"version": "0.1.0", "pid": 810}


def test_versions_that_differ(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    server.facade.spawner_version = "0.0.9"
    result = cli("version")
    assert result.code == 0 and result.err.startswith("warning: the spawner is version 0.0.9 still: ")
    monkeypatch.setattr("fourfold.cli.commands.version.__version__", "0.2.0")
    result = cli("version")
    assert result.err.startswith("warning: the daemon is version 0.1.0, this command is 0.2.0: `fourfold daemon rest")
    monkeypatch.setattr("fourfold.cli.commands.version.__version__", "0.0.8")
    assert "version 0.1.0, newer than this command, 0.0.8: install that here too" in cli("version").err
    server.facade.fails["info"] = WorldError("cannot answer: disk gone")
    assert "daemon: cannot answer: disk gone\n" in cli("version").out


def test_version_without_a_daemon(cli: Cli) -> None:
    assert cli("version").out.endswith("daemon: none runs here\n")


def test_a_failure_of_the_world(cli: Cli, server: Serving) -> None:
    server.facade.fails["gc"] = WorldError("cannot clean up: disk gone", "look")
    result = cli("gc")
    assert (result.code, result.out, result.err) == (1, "", "error: cannot clean up: disk gone\nhint: look\n")


def test_up_and_plan_refuse_all_sources_that_are_not_there(cli: Cli, home: Path, server: Serving) -> None:
    (home / "work/fourfold.yaml").write_text("app: shop\nservices: {a: {source: ./gone}, b: {source: ./lost}}\n")
    for command in ("up", "plan"):
        result = cli(command)
        assert result.code == 2
        assert [line.split()[0] for line in result.err.splitlines() if line.startswith(" ")] == [
            "fourfold.yaml:2:24:",
            "fourfold.yaml:2:45:",
        ]


@pytest.mark.parametrize("command", ["deploy", "plan", "build"])
def test_sources_of_what_is_not_deployed_need_not_be_there(cli: Cli, home: Path, server: Serving, command: str) -> None:
    (home / "work/fourfold.yaml").write_text("app: shop\nservices: {a: {source: ./gone}, b: {source: ./lost}}\n")
    result = cli(command, "b")
    assert result.code == 2
    assert f"fourfold.yaml:2:45: services.b.source: {home}/work/lost is not there" in result.err
    assert result.err.count("is not there") == 1


def test_validate_looks_for_what_the_file_names(cli: Cli, home: Path) -> None:
    text = "app: shop\nservices: {a: {source: ./there, run: x}, b: {source: ./gone.jar, nope: 1}}\n"
    (home / "work/fourfold.yaml").write_text(text + "gateway: {tls: {cert: c.pem, key: k.pem}}\n")
    (home / "work/there").mkdir()
    (home / "work/k.pem").write_text("")
    result = cli("validate")
    assert (result.code, result.out) == (2, "")
    assert f"fourfold.yaml:2:54: services.b.source: {home}/work/gone.jar is not there\n" in result.err
    assert f"fourfold.yaml:3:23: gateway.tls.cert: {home}/work/c.pem is not there\n" in result.err
    assert result.err.count("is not there") == 2
    assert [problem["path"] for problem in json.loads(cli("validate", "-o", "json").out)] == [
        "services.b.source",
        "services.b.nope",
        "gateway.tls.cert",
    ]


def test_the_service_file_is_looked_for_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    with pytest.raises(NotFoundError, match="in this folder or its parents"):
        need_file(Options())
    for folder in (tmp_path, deep):
        (folder / "fourfold.yaml").write_text("app: shop\n")
        assert need_file(Options()) == folder / "fourfold.yaml"
