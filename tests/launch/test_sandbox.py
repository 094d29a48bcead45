"""A function's sandbox as a virtual machine: what QEMU and the guest are told, from a table, on no host."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.functions.model import CONFIG, Config
from fourfold.launch import patterns, qemu, sandbox
from fourfold.launch.common import BootFacts, Facts, ImageFacts
from fourfold.launch.model import Bridge, Launch, Machine, Powers, User
from fourfold.launch.names import HostNames
from fourfold.spec.model import Service
from tests.launch.test_function import FACTS

MIB = 2**20
IMAGE = ImageFacts(
    layers=("/images/base",),
    passwd="root:x:0:0:root:/root:/bin/bash\n",
    group="root:x:0:\n",
    profile={},
    machine="x86_64",
    kernel=(6, 1),
    names=HostNames(),
    bridge=None,
)
MACHINES = Powers(
    users=True,
    private=True,
    network=True,
    functions=True,
    machines=True,
    apart=True,
    accelerator="tcg",
    ticks=2_000_000,
)
BOOT = BootFacts("/disks/k", "/disks/i", ("/disks/base", "/disks/task"))
GIVEN = replace(FACTS, powers=MACHINES, image=IMAGE, boot=BOOT)


def service(**said: Any) -> Service:
    return Service.model_validate({"function": {"handler": "app.handler", "isolation": "vm"}} | said)


def launch(facts: Facts = GIVEN, **said: Any) -> Launch:
    return patterns.launch("function", service(**said), facts)


def machine(**said: Any) -> Machine:
    made = launch(**said).sandbox
    assert made is not None
    return made


def after(argv: tuple[str, ...], option: str) -> list[str]:
    return [value for name, value in pairwise(argv) if name == option]


def test_what_the_invoker_is_told() -> None:
    told = Config.from_json(str(launch().env[CONFIG])).machine
    assert told is not None and told == sandbox.told(machine())
    assert told.files == {
        "kernel": "/disks/k", "initrd": "/disks/i", "disk0": "/disks/base", "disk1": "/disks/task",
    }  # fmt: skip
    assert (told.api, told.accelerator, told.template) == ("169.254.100.1:9001", "tcg", "")
    assert told.memory == machine().memory + qemu.OVERHEAD


def test_what_qemu_is_told() -> None:
    told = sandbox.told(machine())
    (network,) = after(told.boot, "-netdev")
    assert network == "user,id=net,ipv6=off,net=169.254.100.0/24,host=169.254.100.1"
    assert not any("tap" in word for word in told.boot)
    assert "socket,id=control,fd=3,server=on,wait=off" in after(told.boot, "-chardev")
    assert "file,id=report,path=/proc/self/fd/5,append=on" in after(told.boot, "-chardev")
    assert "-incoming" not in told.boot and after(told.go_on, "-incoming") == ["defer"]
    assert set(told.fifos) == {"clone.in", "clone.out"} and '"fd:6"' in told.fifos["clone.in"]


@pytest.mark.parametrize(
    ("asked", "memory", "cpus"),
    [("128Mi", 128 + 64 + 4, 1), ("1Gi", 1024 + 64 + 32, 1), ("1769Mi", 1769 + 64 + 56, 1), ("2Gi", 2048 + 128, 2)],
)
def test_memory_and_processors(asked: str, memory: int, cpus: int) -> None:
    made = machine(resources={"memory": asked})
    assert (made.memory // MIB, made.cpus) == (memory, cpus)


def test_what_the_guest_is_told() -> None:
    told = machine(function={"handler": "a.b", "isolation": "vm", "tmp": "32Mi"}).guest
    assert {
        ("hostname", "thumb-3-k7f2"), ("address", "169.254.100.2/24"), ("gateway", "169.254.100.1"),
        ("tmp", str(32 * MIB)), ("memory", str(128 * MIB)), ("pids", "1024"), ("descriptors", "1024"),
    } <= {*told}  # fmt: skip
    files = [value.partition(":")[0] for key, value in told if key == "file"]
    assert files == ["/etc/hostname", "/etc/passwd", "/etc/group"]
    assert not any(key in ("argv", "env", "seed", "time") for key, _ in told), "each sandbox has its own"


def test_what_its_template_is_made_of() -> None:
    booted = sandbox.of_template(launch())
    assert booted.machine == machine() and booted.network == "none" and booted.env == {}
    assert booted.limits.memory == machine().memory + qemu.OVERHEAD


def test_namespaces_need_no_machine() -> None:
    made = launch(FACTS, function={"handler": "app.handler"})
    assert made.sandbox is None and Config.from_json(str(made.env[CONFIG])).machine is None


def test_what_runs_beside_is_a_machine_too() -> None:
    bridged = replace(IMAGE, bridge=Bridge("fourfold0", "10.177.0.5/16", "10.177.0.1"))
    one = replace(GIVEN, function=None, image=bridged, argv=("sh",), port=None, user=User(799001, 799001, "thumb"))
    made = launch(one)
    assert made.machine is not None and made.sandbox is None and not made.machine.apart


@pytest.mark.parametrize(
    ("powers", "memory", "words"),
    [
        ({"machines": False, "missing": {"machines": "no QEMU"}}, "128Mi", "virtual machines: no QEMU"),
        ({"apart": False, "missing": {"apart": "QEMU has no user network"}}, "128Mi", "QEMU has no user network"),
        ({}, "16Mi", "with 16 MiB: they take 32Mi at least"),
    ],
)
def test_what_cannot_be(powers: dict[str, Any], memory: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        patterns.refuse_impossible(service(resources={"memory": memory}), "function", replace(MACHINES, **powers))
