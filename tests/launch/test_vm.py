"""A service, an image and facts become a Launch with a virtual machine: from tables, on no host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.launch import qemu
from fourfold.launch.common import BootFacts
from fourfold.launch.model import Forwarded, Launch, Limits, Listen, Powers, SecretRef, Share
from fourfold.launch.patterns import is_machine, memory_limit, program_memory, refuse_impossible, unenforced
from fourfold.launch.patterns import launch as launch_as
from fourfold.launch.vm import parameters
from fourfold.spec.model import Service
from tests.launch.test_container import FACTS, IMAGE

MIB = 1024 * 1024
POWERS = Powers(users=True, machines=True, shares=True, accelerator="tcg", ticks=2_300_000)
BOOT = BootFacts("/disks/k", "/disks/i", ("/disks/base", "/disks/app"))


def made(
    service: dict[str, Any] | None = None, image: dict[str, Any] | None = None, pattern: str = "vm", **facts: Any
) -> Launch:
    given: dict[str, Any] = {"powers": POWERS, "boot": BOOT, "tree": ""} | facts
    return launch_as(
        pattern,
        Service.model_validate(service or {}),
        replace(FACTS, image=replace(IMAGE, **(image or {})), **given),
    )


def told(launch: Launch, key: str) -> list[str]:
    assert launch.machine is not None
    return [value for name, value in launch.machine.guest if name == key]


def test_what_an_ordinary_one_gets() -> None:
    got = made({"env": {"A": "b"}, "secrets": ["KEY"], "resources": {"memory": "256Mi", "cpu": 1.5, "pids": 64}})
    assert got.argv == FACTS.argv and got.cwd == "/app" and got.user == FACTS.user and got.bundle is None
    assert got.network == IMAGE.bridge and got.listen == Listen("10.177.0.5", 8080)
    wanted = {"PORT": "8080", "HOST": "0.0.0.0", "A": "b", "KEY": SecretRef("KEY"), "IMAGE": "1", "USER": "catalog"}
    assert wanted.items() <= got.env.items()
    machine = got.machine
    assert machine is not None
    assert (machine.kind, machine.accelerator, machine.cpus) == ("microvm", "tcg", 2)
    assert (machine.kernel, machine.initrd, machine.disks) == (BOOT.kernel, BOOT.initrd, BOOT.disks)
    assert machine.memory == (256 + 64 + 8) * MIB and machine.owner == FACTS.user
    assert told(got, "memory") == [str(256 * MIB)] and told(got, "pids") == ["64"]
    assert told(got, "tmp") == [str(128 * MIB)] and told(got, "hostname") == ["catalog-3-k7f2"]
    assert (told(got, "stop"), told(got, "grace"), told(got, "init")) == (["TERM"], ["10"], [])


@pytest.mark.parametrize("service", [{}, {"resources": {"memory": "256Mi"}, "vm": {"base": "debian"}}])
@pytest.mark.parametrize("pattern", ["vm", "container"])
def test_the_limit_that_is_shown_is_the_one_that_it_has(service: dict[str, Any], pattern: str) -> None:
    service = service | {"container": {"isolation": "vm"}, "volumes": [{"name": "uploads", "path": "/u"}]}
    limit = made(service, pattern=pattern).limits.memory
    assert limit is not None and memory_limit(pattern, Service.model_validate(service)) == limit


def test_what_its_guest_sees_to_needs_no_power_of_this_host() -> None:
    service = Service.model_validate({"resources": {"memory": "256Mi", "cpu": 1.5, "pids": 64}})
    assert list(unenforced("vm", service, POWERS)) == ["cpu"]
    assert list(unenforced("process", service, POWERS)) == ["cpu", "memory", "pids"]
    assert program_memory("vm", Service()) == 512 * MIB and program_memory("process", Service()) is None


def test_its_own_groups_hold_the_machine() -> None:
    """The service's limits on memory and processes are for the guest; what surrounds it has room for QEMU."""
    got = made(
        {"resources": {"memory": "256Mi", "cpu": 0.5, "pids": 64}, "volumes": [{"name": "uploads", "path": "/u"}]}
    )
    assert got.machine is not None
    around = got.machine.memory + qemu.OVERHEAD + qemu.SHARE_OVERHEAD
    assert got.limits == Limits(cpu=0.5, memory=around)
    assert got.machine.shares == (Share("/state/volumes/uploads", "/u"),)


def test_a_volume_in_another_one_is_mounted_after_it() -> None:
    volumes = [{"name": "cache", "path": "/data/cache"}, {"name": "data", "path": "/data"}]
    got = made({"volumes": volumes}, volumes={"cache": "/v/cache", "data": "/v/data"})
    assert got.machine is not None
    assert got.machine.shares == (Share("/v/data", "/data"), Share("/v/cache", "/data/cache"))


FORWARDED = Forwarded("/disks/init", (20012, 8080))
USERS = replace(POWERS, users=False, shares=False, forwarded=True)


def test_without_a_bridge_a_port_of_this_host_leads_to_it() -> None:
    got = made(image={"bridge": None, "forwarded": FORWARDED}, powers=USERS, port=20012)
    assert (got.network, got.listen) == ("host", Listen("127.0.0.1", 20012))
    assert got.env["PORT"] == "8080" and got.user == FACTS.user
    assert got.machine is not None and (got.machine.forwarded, got.machine.owner) == (FORWARDED, None)
    files = {each.split(":", 1)[0]: each.split(":", 4)[4] for each in told(got, "file")}
    assert "198.18.0.15\tcatalog-3-k7f2" in files["/etc/hosts"] and "nameserver" not in files["/etc/resolv.conf"]


@pytest.mark.parametrize(
    ("pattern", "service"),
    [
        ("vm", {"vm": {"base": "debian"}}),
        ("vm", {"vm": {"base": "docker://alpine"}}),
        ("vm", {"image": "docker://alpine"}),
        ("vm", {"vm": {"template": "ready"}}),
        ("container", {"container": {"isolation": "vm", "base": "docker://alpine"}}),
        ("container", {"container": {"isolation": "vm", "dockerfile": "Dockerfile"}}),
    ],
)
def test_what_only_root_can(pattern: str, service: dict[str, Any]) -> None:
    spec = Service.model_validate(service)
    refuse_impossible(spec, pattern, POWERS)
    with pytest.raises(UserError, match="only root"):
        refuse_impossible(spec, pattern, USERS)


def test_its_files() -> None:
    files = {each.split(":", 1)[0]: each.split(":", 4)[4] for each in told(made(), "file")}
    assert files["/etc/hostname"] == "catalog-3-k7f2\n" and "10.177.0.5\tcatalog-3-k7f2" in files["/etc/hosts"]
    assert files["/etc/resolv.conf"] == "nameserver 192.0.2.7\nsearch example.com\n"
    assert (
        "catalog:x:799001:799001::/tmp:/bin/sh\n" in files["/etc/passwd"] and "catalog:x:799001:" in files["/etc/group"]
    )


def test_who_it_runs_as_and_who_qemu_does() -> None:
    got = made(image={"user": "web", "group": "more:x:7:web\n"})
    assert got.user is not None and got.user.uid == 101 and told(got, "groups") == ["7"]
    assert got.machine is not None and got.machine.owner == FACTS.user


def test_a_whole_system_is_left_to_its_init() -> None:
    got = made({"vm": {"base": "debian"}})
    assert told(got, "init") == ["/sbin/init"]
    assert got.machine is not None and "systemd.show_status=auto" in got.machine.parameters
    assert got.machine is not None and got.machine.memory > 512 * MIB + 160 * MIB


def test_a_container_in_a_machine() -> None:
    service = {"container": {"isolation": "vm"}}
    assert is_machine("container", Service.model_validate(service)) and not is_machine("container", Service())
    assert made(service, pattern="container").machine == made(service).machine
    moves = service | {"vm": {"base": "debian"}}
    assert made(moves, pattern="container").machine == made(service).machine, "its own image has no init to leave it to"


@pytest.mark.parametrize(
    ("kind", "accelerator", "ticks", "has", "lacks"),
    [
        ("microvm", "tcg", 2_300_000, {"tsc_early_khz=2300000", "lpj=9200000", "pci=off", "tsc=reliable"}, set()),
        ("microvm", "tcg", 0, {"tsc=reliable"}, {"tsc_early_khz=0", "lpj=0"}),
        ("q35", "kvm", 2_300_000, {"panic=-1"}, {"tsc=reliable", "pci=off", "mitigations=off"}),
    ],
)
def test_what_its_kernel_is_told(kind: str, accelerator: str, ticks: int, has: set[str], lacks: set[str]) -> None:
    given = set(parameters(kind, accelerator, ticks))
    assert has <= given and not lacks & given


@pytest.mark.parametrize(
    ("service", "powers", "why"),
    [
        ({}, {"machines": False, "missing": {"machines": "no QEMU"}}, "virtual machine: no QEMU"),
        ({"resources": {"memory": "16Mi"}}, {}, "32Mi at least"),
        ({"volumes": [{"name": "a", "path": "/a"}]}, {"shares": False}, "volume a"),
        ({"volumes": [{"name": f"v{n}", "path": f"/v{n}"} for n in range(17)]}, {}, "17 volumes .* places for 16"),
    ],
)
def test_what_is_refused(service: dict[str, Any], powers: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        refuse_impossible(Service.model_validate(service), "vm", replace(POWERS, **powers))


def test_the_most_of_what_is_bounded_is_taken() -> None:
    volumes = [{"name": f"v{n}", "path": f"/v{n}"} for n in range(16)]
    refuse_impossible(Service.model_validate({"resources": {"memory": "32Mi"}, "volumes": volumes}), "vm", POWERS)


def test_a_container_in_a_machine_has_its_own_network() -> None:
    service = Service.model_validate({"container": {"isolation": "vm", "network": "host"}})
    with pytest.raises(UserError, match="network"):
        refuse_impossible(service, "container", POWERS)
