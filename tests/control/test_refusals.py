"""What an `up` is refused for before anything changes: where a service cannot run under its pattern on this host."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from fourfold.control.deploying.changes import Wish
from fourfold.control.deploying.checks import check_block, check_fixed_ports, check_powers, check_timeout
from fourfold.control.deploying.wishes import check_overrides, located
from fourfold.control.settings import Settings
from fourfold.errors import UserError
from fourfold.launch.model import Powers
from fourfold.spec.app import App
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.model import Service
from tests.control.rig import Rig, rigged
from tests.store.samples import instance, release, service_row

RUNC = Powers(private=True, containers=True, runtimes=("runc",))
NO_RUNC = Powers(private=True, missing={"runc": "runc is not installed"})
FILE_SECRET = {"run": "x", "secrets": [{"KEY": {"name": "key", "file": "/run/secrets/key"}}]}


@pytest.mark.parametrize(
    ("spec", "pattern", "powers", "why"),
    [
        ({"run": "x"}, "process", NO_RUNC, None),
        ({"run": "x"}, "container", RUNC, None),
        ({"run": "x"}, "container", NO_RUNC, "web: cannot run as a container under runc: runc is not installed"),
        ({"image": "docker://nginx"}, "container", RUNC, None),
        (
            {"image": "docker://nginx"},
            "process",
            Powers(private=True),
            "web: cannot run the image docker://nginx as a process",
        ),
        (FILE_SECRET, "process", Powers(missing={"private": "not root"}), "cannot give secret key as a file: not root"),
    ],
)
def test_powers(spec: dict[str, Any], pattern: str, powers: Powers, why: str | None) -> None:
    service = Service.model_validate(spec)
    if why is None:
        check_powers("web", service, pattern, powers)
        return
    with pytest.raises(UserError, match=why) as caught:
        check_powers("web", service, pattern, powers)
    assert caught.value.hint


FIXED = 9000
SPEC = Service.model_validate({"run": "x", "port": {"fixed": FIXED}})
APP = App(app="shop", services={"web": SPEC, "api": SPEC})
PROCESS = Wish("web", SPEC, "source", "")
CONTAINER = replace(PROCESS, overrides={"pattern": "container", "instances": 3})


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program of this host has a port."""
    monkeypatch.setattr("fourfold.control.deploying.checks.refuse_taken", lambda listens, ipv6: None)


def has_port(rig: Rig, pattern: str, address: str | None) -> None:
    """`api`, and an instance of it, with the same number for its port."""
    with rig.registry.transaction():
        rig.registry.add_release(release("api", 1, spec=fingerprint(SPEC)))
        rig.registry.put_service(service_row("api", overrides={"pattern": pattern}))
        rig.registry.put_instance(instance("api-1", "api", pattern=pattern, port=FIXED, address=address))


@rigged
async def test_a_port_of_the_host_belongs_to_one_instance_of_one_service(rig: Rig) -> None:
    check_fixed_ports(rig.registry, APP, [PROCESS, CONTAINER])
    with pytest.raises(UserError, match="cannot run 2 instances of web as a process: its port is fixed"):
        check_fixed_ports(rig.registry, APP, [replace(PROCESS, overrides={"instances": 2})])
    has_port(rig, "process", None)
    check_fixed_ports(rig.registry, APP, [CONTAINER, replace(PROCESS, name="api")])
    with pytest.raises(UserError, match=f"cannot give web the port {FIXED}: shop.api has it"):
        check_fixed_ports(rig.registry, APP, [PROCESS])


@rigged
async def test_two_services_that_come_together_do_not_get_one_port(rig: Rig) -> None:
    with pytest.raises(UserError, match=f"cannot give api the port {FIXED}: shop.web has it"):
        check_fixed_ports(rig.registry, APP, [PROCESS, replace(PROCESS, name="api")])


@rigged
async def test_containers_have_ports_of_their_own(rig: Rig) -> None:
    has_port(rig, "container", "10.177.0.5")
    check_fixed_ports(rig.registry, APP, [PROCESS, CONTAINER])
    on_host = SPEC.model_copy(update={"container": SPEC.container.model_copy(update={"network": "host"})})
    with pytest.raises(UserError, match="cannot run 3 instances of web as a container: its port is fixed"):
        check_fixed_ports(rig.registry, APP, [replace(CONTAINER, spec=on_host)])


@rigged
async def test_the_gateways_port_is_not_for_a_service_that_moves_to_the_host(rig: Rig) -> None:
    app = App.model_validate(APP.model_dump() | {"gateway": {"listen": f":{FIXED}"}})
    check_fixed_ports(rig.registry, app, [CONTAINER])
    with pytest.raises(UserError, match="the gateway has it"):
        check_fixed_ports(rig.registry, app, [PROCESS])


@pytest.mark.parametrize(
    "given",
    [{"pattern": "group"}, {"pattern": ["x"]}, {"instances": -1}, {"instances": True}, {"instances": "2"}, {"x": 1}],
)
def test_overrides_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="web"):
        check_overrides("web", given)
    check_overrides("web", {"pattern": "container", "instances": 0})


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("docker://nginx:1", "docker://nginx:1"),
        ("oci:./img:latest", "oci:/srv/shop/img:latest"),
        ("docker-archive:x.tar", "docker-archive:/srv/shop/x.tar"),
        ("oci:/srv/img", "oci:/srv/img"),
        ("nginx", "nginx"),
        (None, None),
    ],
)
def test_an_image_in_a_file_is_found_beside_the_service_file(image: str | None, found: str | None) -> None:
    assert located(Service(image=image), Path("/srv/shop")).image == found


def test_a_function_that_may_take_longer_than_one_may() -> None:
    service = Service.model_validate({"source": "./x", "function": {"handler": "app.handler", "timeout": "301s"}})
    with pytest.raises(UserError, match=r"f: cannot give an event 301 s: a function has at most 300 s here"):
        check_timeout("f", service, "function", Settings().function_timeout)
    check_timeout("f", service, "function", 900)
    check_timeout("f", service, "process", 300)


@pytest.mark.parametrize(
    ("concurrency", "pattern", "network", "refused"),
    [
        (100, "function", "10.177.0.1/16", False),
        (100, "function", "10.177.0.1/24", True),
        (50, "function", "10.177.0.1/24", False),
        (100, "process", "10.177.0.1/24", False),
    ],
)
def test_a_function_with_more_sandboxes_than_there_are_addresses(
    concurrency: int, pattern: str, network: str, refused: bool
) -> None:
    function = {"handler": "app.handler", "concurrency": concurrency}
    service = Service.model_validate({"source": "./x", "function": function})
    with pytest.raises(UserError, match="f: cannot have 128 addresses") if refused else nullcontext():
        check_block("f", service, pattern, IPv4Interface(network))
