"""How bundles are found, and what is made of them in a group and without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fourfold.build.group import as_alone, as_group, as_guest
from fourfold.build.kinds import osgi
from fourfold.build.model import Listing
from fourfold.errors import UserError
from fourfold.spec.groups import Group
from fourfold.spec.model import Service

from .helpers import HOST, listing

FRAMEWORK = "/usr/share/java/eclipse-osgi-3.18.200.jar"
WITH = replace(HOST, tools={**HOST.tools, "javac": "/usr/bin/javac", "equinox": FRAMEWORK})
WEB = {"bundle-symbolicname": "shop.web", "bundle-version": "1.0.0"}
API = {"bundle-symbolicname": "shop.api; singleton:=true; x=1", "bundle-version": "2.1"}
EXTENSION = {**WEB, "fragment-host": "system.bundle; extension:=framework"}


def source(jars: Mapping[str, Mapping[str, str]], *others: str, main: str | None = None) -> Listing:
    files = listing({name: name for name in (*jars, *others)}, main)
    return replace(files, jar_headers=lambda entry: jars.get(entry.path, {}))


def service(**spec: Any) -> Service:
    return Service.model_validate({"port": 8080, "shared": {"group": "bundles", "kind": "osgi"}, **spec})


@pytest.mark.parametrize(
    ("jars", "started"),
    [
        ({"web.jar": WEB}, ["web.jar"]),
        ({"target/web.jar": WEB, "bundles/z.jar": API, "web.jar": {}}, ["bundles/z.jar", "target/web.jar"]),
        ({"b.jar": WEB, "a.jar": API}, ["a.jar", "b.jar"]),
        ({"a.jar": WEB, "b.jar": WEB}, ["a.jar"]),
        ({"a.jar": WEB, "b.jar": {**WEB, "bundle-version": "1.1"}}, ["a.jar", "b.jar"]),
        ({"web.jar": WEB, "lib/inside.jar": API}, ["web.jar"]),
    ],
)
def test_bundles_in_the_order_in_which_they_are_started(jars: dict[str, dict[str, str]], started: list[str]) -> None:
    plan = as_guest(source(jars), service(), WITH)
    assert plan.argv == tuple(f"/app/{path}" for path in started)
    assert plan.steps == ()


def test_what_a_manifest_says_of_a_bundle() -> None:
    assert osgi.read("a.jar", API) == osgi.Bundle("a.jar", "shop.api", "2.1", singleton=True)
    assert osgi.read("a.jar", {"bundle-symbolicname": "x"}) == osgi.Bundle("a.jar", "x", "0.0.0")
    assert osgi.read("a.jar", {"main-class": "Main"}) is None


@pytest.mark.parametrize(
    ("jars", "what"),
    [
        ({"web.jar": {"main-class": "Main"}}, "cannot find a bundle: the source (web.jar) has no JAR"),
        ({"web.jar": EXTENSION}, "cannot run web.jar in a group: it extends the framework"),
    ],
)
def test_what_cannot_be_a_guest(jars: dict[str, dict[str, str]], what: str) -> None:
    with pytest.raises(UserError, match="^" + what.replace("(", r"\(").replace(")", r"\)")):
        as_guest(source(jars), service(), WITH)


def test_bundles_that_a_build_makes_are_looked_for_in_its_result() -> None:
    plan = as_guest(source({}, "build.sh"), service(build="./build.sh", run="java -jar x.jar"), WITH)
    assert (plan.argv, plan.find_bundles, plan.find_jar) == (None, (), False)
    assert [str(step) for step in plan.steps] == ["./build.sh"]
    assert "`run` is for other patterns: in a group, its bundles are started." in plan.notes


def test_the_host_program_is_compiled_against_the_framework() -> None:
    group = Group.model_validate({"kind": "osgi", "java_opts": "-Xmx100m"}).as_host()
    plan = as_group(group, WITH)
    assert plan.argv is not None
    assert plan.argv[-1] == "fourfold.host.Osgi"
    assert FRAMEWORK in plan.steps[0].argv[-1]
    with pytest.raises(UserError, match="this host has neither Equinox nor Felix") as error:
        as_group(group, HOST)
    assert error.value.hint == "apt install libeclipse-osgi-java or libfelix-framework-java"


@pytest.mark.parametrize(
    ("jars", "main", "spec", "alone"),
    [
        ({"web.jar": WEB}, None, {"shared": {}}, True),
        ({"web.jar": {}}, None, {"shared": {}}, False),
        ({"web.jar": WEB}, "Main", {"shared": {}}, False),  # it can run by itself, and does
        ({"web.jar": WEB}, "Main", {}, True),  # a bundle in its group
        ({"web.jar": WEB}, None, {"run": "java -jar web.jar"}, False),
        ({"web.jar": WEB}, None, {"shared": {}, "runtime": "python3.11"}, False),
        ({}, None, {"build": "./build.sh"}, True),
        ({}, None, {"build": "./build.sh", "shared": {}}, False),
    ],
)
def test_which_are_run_in_a_framework_of_their_own(
    jars: dict[str, dict[str, str]], main: str | None, spec: dict[str, Any], alone: bool
) -> None:
    plan = as_alone(source(jars, "build.sh", main=main), service(**spec), WITH)
    assert (plan is not None) == alone
    if plan is not None:
        front = plan.argv if plan.argv is not None else plan.find_bundles
        assert front is not None
        place = front.index("--alone")
        assert front[place - 1] == "fourfold.host.Osgi"
        assert front[place + 1 :] == tuple(f"/app/{path}" for path in jars)
