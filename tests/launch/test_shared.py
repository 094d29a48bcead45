"""Hosts of groups and their guests, as Launches."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.launch.common import Facts
from fourfold.launch.group import FOURFOLD_HOST, java_options
from fourfold.launch.model import Limits, Listen, Mount, Powers, SecretRef, Stop, User
from fourfold.launch.patterns import launch, memory_limit, program_memory, refuse_impossible, unenforced
from fourfold.launch.shared import place
from fourfold.spec.groups import Group
from fourfold.spec.model import Service

MI = 1024 * 1024
ALL = Powers(users=True, private=True, cpu=True, memory=True, pids=True, io=True)
WEBAPPS = User(790001, 790001, "webapps")
FACTS = Facts(
    app="shop",
    service="orders",
    instance="shop.orders-3-k7f2",
    release=3,
    tree="/artifacts/aa/tree",
    argv=("/guests/shop.orders-3-k7f2/app.war",),
    artifact_env={},
    powers=ALL,
    user=WEBAPPS,
    port=20001,
    urls={"CART_URL": "http://127.0.0.1:30001"},
    host="shop.webapps-1-abcd",
    guests="/state/hosts/shop.webapps-1-abcd.2",
)
HOSTING = replace(
    FACTS, service="webapps", instance="shop.webapps-1-abcd", argv=("java", "-cp", "/app/host.jar", "Main")
)
HOSTING = replace(HOSTING, port=None, host=None)


def member(kind: str = "tomcat", **given: Any) -> Service:
    shared = {"group": "webapps", "kind": kind} | given.pop("shared", {})
    return Service.model_validate({"pattern": "shared", "port": 8080, "shared": shared} | given)


def host(**given: Any) -> Service:
    return Group.model_validate({"kind": "tomcat"} | given).as_host()


def test_a_host_is_a_process_with_a_folder_for_its_guests() -> None:
    made = launch("group", host(resources={"memory": "500Mi"}, java_opts="-Da='b c'"), HOSTING)
    assert made.argv == (
        "java", "-Xmx300m", "-XX:+ExitOnOutOfMemoryError", "-Da=b c", "-cp", "/app/host.jar", "Main"
    )  # fmt: skip
    assert json.loads(str(made.env[FOURFOLD_HOST])) == {
        "kind": "tomcat", "mode": "mounted", "folder": "/guests", "preload": []
    }  # fmt: skip
    assert made.mounts == (Mount("/artifacts/aa/tree", "/app", read_only=True), Mount(str(HOSTING.guests), "/guests"))
    assert (made.guests, made.limits, made.listen) == (HOSTING.guests, Limits(memory=500 * MI), None)


def test_without_mount_namespaces_a_host_has_the_folder_itself() -> None:
    made = launch("group", host(kind="python", mode="forked", preload=["json"]), replace(HOSTING, powers=Powers()))
    assert json.loads(str(made.env[FOURFOLD_HOST])) == {
        "kind": "python", "mode": "forked", "folder": HOSTING.guests, "preload": ["json"]
    }  # fmt: skip
    assert (made.mounts, made.argv) == ((), HOSTING.argv)


@pytest.mark.parametrize(
    ("opts", "memory", "made"),
    [
        ("", None, ["-XX:+ExitOnOutOfMemoryError"]),
        ("-Xmx1g", "512Mi", ["-XX:+ExitOnOutOfMemoryError", "-Xmx1g"]),
        ("-XX:MaxRAMPercentage=50", "512Mi", ["-XX:+ExitOnOutOfMemoryError", "-XX:MaxRAMPercentage=50"]),
        ("-XX:-ExitOnOutOfMemoryError -Xms8m", "100Mi", ["-Xmx60m", "-XX:-ExitOnOutOfMemoryError", "-Xms8m"]),
    ],
)
def test_what_a_jvm_is_told_besides(opts: str, memory: str | None, made: list[str]) -> None:
    resources = {"memory": memory} if memory else {}
    assert [*java_options(Group.model_validate({"kind": "osgi", "java_opts": opts, "resources": resources}))] == made


def test_a_guest() -> None:
    service = member(
        env={"LEVEL": "info", "PATH": "mine"}, secrets=["KEY"], shared={"allow_shared": True},
        resources={"memory": "64Mi"}, route=[{"path": "/orders"}, {"path": "/orders/", "method": "POST"}],
        stop={"grace": "3s"},
    )  # fmt: skip
    made = launch("shared", service, FACTS)
    assert made.env == {
        "FOURFOLD_APP": "shop", "FOURFOLD_SERVICE": "orders", "FOURFOLD_INSTANCE": FACTS.instance,
        "FOURFOLD_RELEASE": "3", "CART_URL": "http://127.0.0.1:30001", "LEVEL": "info", "PATH": "mine",
        "KEY": SecretRef("KEY"), "PORT": "20001", "HOST": "127.0.0.1",
    }  # fmt: skip
    where = f"/guests/{FACTS.instance}"
    assert (made.host, made.argv, made.cwd) == (FACTS.host, FACTS.argv, where)
    assert made.mounts == (Mount("/artifacts/aa/tree", where, read_only=True),)
    assert (made.service, made.path, made.listen) == ("orders", "/orders", Listen("127.0.0.1", 20001))
    assert (made.limits, made.stop, made.user, made.private) == (Limits(), Stop("TERM", 3.0), WEBAPPS, False)


def test_a_worker_has_limits_and_a_whole_environment() -> None:
    made = launch("shared", member("node", resources={"memory": "64Mi"}), FACTS)
    assert (made.limits, made.env["HOME"]) == (Limits(memory=64 * MI), "/tmp")


def test_what_is_run_beside_a_guest_is_a_process() -> None:
    made = launch("shared", member(), replace(FACTS, host=None, guests=None, argv=("sh",), port=None))
    assert (made.host, made.cwd, made.env["HOME"]) == (None, "/app", "/tmp")


def test_where_a_host_finds_a_guest() -> None:
    assert place("a", "/state/hosts/h.1", private=True) == "/guests/a"
    assert place("a", "/state/hosts/h.1", private=False) == "/state/hosts/h.1/a"


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        ([], "/"),
        ([{"path": "/"}], "/"),
        ([{"path": "/a/b"}], "/a/b"),
        ([{"path": "/a", "strip": True}], "/"),
        ([{"path": "/a"}, {"path": "/b"}], "/"),
    ],
)
def test_the_path_of_its_routes(routes: list[dict[str, Any]], path: str) -> None:
    assert member(route=routes).route_path == path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"port": None}, "cannot run in group webapps: `port`: it needs a port of its own"),
        ({"image": "docker://alpine"}, "`image`: an image has a file system of its own"),
        ({"volumes": [{"name": "v", "path": "/v"}]}, "`volumes`: members of a group have the files"),
        ({"secrets": ["KEY"]}, "each can read the others' secrets"),
    ],
)
def test_what_no_group_gives(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match="cannot run in group") as refused:
        refuse_impossible(member(**given), "shared", ALL)
    assert said in str(refused.value)


def test_limits_that_are_the_groups_alone() -> None:
    mounted, worker = (member(kind, resources={"cpu": 1, "memory": "64Mi"}) for kind in ("tomcat", "node"))
    assert set(unenforced("shared", mounted, ALL)) == {"cpu", "memory"}
    assert "all members of webapps" in unenforced("shared", mounted, ALL)["cpu"]
    assert unenforced("shared", worker, ALL) == {}
    assert (memory_limit("shared", mounted), memory_limit("shared", worker)) == (None, 64 * MI)
    assert (program_memory("shared", mounted), program_memory("shared", worker)) == (None, 64 * MI)
    assert unenforced("process", mounted, ALL) == {}, "what it has of a group does not matter then"
    assert memory_limit("process", mounted) == program_memory("process", mounted) == 64 * MI
