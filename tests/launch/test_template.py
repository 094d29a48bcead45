"""What a machine and its template must share, and what QEMU is told to keep one and to go on from one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.launch import qemu, template
from fourfold.launch.model import Bridge, Launch, Limits, Share, User
from fourfold.spec.model import Service
from tests.launch.test_qemu import MACHINE, command

LAUNCH = Launch(
    instance="shop.catalog-3-k7f2",
    argv=("python3", "web.py"),
    env={"FOURFOLD_INSTANCE": "shop.catalog-3-k7f2", "LEVEL": "info"},
    user=User(61000, 61000, "catalog"),
    network=Bridge("fourfold0", "10.177.0.5/16", "10.177.0.1"),
    machine=MACHINE,
)


def key(launch: Launch = LAUNCH, host: str = "QEMU 7.2", ready: bool = False) -> str:
    return template.key(launch, host, ready)


def test_instances_of_a_service_have_the_same() -> None:
    other = replace(
        LAUNCH,
        instance="shop.catalog-3-aaaa",
        env={**LAUNCH.env, "FOURFOLD_INSTANCE": "shop.catalog-3-aaaa"},
        network=Bridge("fourfold0", "10.177.0.6/16", "10.177.0.1"),
        machine=replace(MACHINE, guest=(("hostname", "x"),), template="/templates/t"),
    )
    assert key(other) == key() and key(other, ready=True) == key(ready=True)
    assert len(key()) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "q35"},
        {"accelerator": "kvm"},
        {"memory": 97 << 20},
        {"cpus": 2},
        {"kernel": "/disks/other"},
        {"initrd": "/disks/other"},
        {"disks": ("/disks/base", "/disks/other")},
        {"parameters": ("quiet", "tsc_early_khz=1")},
    ],
)
def test_another_machine_is_no_template(changes: dict[str, Any]) -> None:
    assert key(replace(LAUNCH, machine=replace(MACHINE, **changes))) != key()


def test_another_host_or_user_is_none_either() -> None:
    assert key(host="QEMU 8.0") != key()
    assert key(replace(LAUNCH, machine=replace(MACHINE, owner=User(61001, 61001, "catalog")))) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ("python3", "other.py")},
        {"env": {"LEVEL": "debug"}},
        {"cwd": "/app"},
        {"limits": Limits(pids=3)},
        {"user": User(101, 101, "web")},
        {"machine": replace(MACHINE, guest=(("pids", "64"),))},
        {"machine": replace(MACHINE, guest=(("groups", "7"),))},
    ],
)
def test_the_program_counts_where_it_runs_already(changes: dict[str, Any]) -> None:
    other = replace(LAUNCH, **changes)
    assert key(other, ready=True) != key(ready=True) and key(other) == key()


def test_a_template_is_known_by_no_name_or_address_of_an_instance() -> None:
    guest = (
        ("hostname", "catalog-3-k7f2"),
        ("file", "/etc/hostname:644:0:0:catalog-3-k7f2\n"),
        ("file", "/etc/hosts:644:0:0:127.0.0.1\tlocalhost\n10.177.0.5\tcatalog-3-k7f2\n10.177.0.51\tdb\n"),
        ("stop", "TERM"),
    )
    launch = replace(LAUNCH, machine=replace(MACHINE, guest=guest))
    got = template.named(launch, "shop.catalog-3-template-ab", "10.177.0.9")
    assert got.machine is not None and got.machine.guest == (
        ("hostname", "catalog-3-template-ab"),
        ("file", "/etc/hostname:644:0:0:catalog-3-template-ab\n"),
        ("file", "/etc/hosts:644:0:0:127.0.0.1\tlocalhost\n10.177.0.9\tcatalog-3-template-ab\n10.177.0.51\tdb\n"),
        ("stop", "TERM"),
    )
    assert got.network == Bridge("fourfold0", "10.177.0.9/16", "10.177.0.1")
    assert got.env["FOURFOLD_INSTANCE"] == got.instance == "shop.catalog-3-template-ab"
    assert template.named(launch, "shop.x-1-t", None).network == LAUNCH.network
    assert key(got, ready=True) == key(launch, ready=True)


def test_what_is_shared_with_the_host_cannot_be_kept() -> None:
    assert template.can_have(MACHINE)
    assert not template.can_have(replace(MACHINE, shares=(Share("/volumes/a", "/data"),)))


def test_one_is_kept_in_a_file_that_its_clones_map_for_themselves() -> None:
    backend = "-object memory-backend-file,id=ram,size=96M,mem-path=memory,share={}"
    kept = command(replace(MACHINE, kept="/work/t"))
    assert "-M microvm,memory-backend=ram" in kept and backend.format("on") in kept and "-incoming" not in kept
    clone = command(replace(MACHINE, template="/templates/t"))
    assert backend.format("off") in clone
    assert clone.endswith(" -incoming defer -chardev pipe,id=clone,path=clone -mon chardev=clone,mode=control")
    plain = command(MACHINE)
    assert "memory-backend" not in plain and "-incoming" not in plain
    assert template.binds(replace(MACHINE, kept="/work/t")) == {
        "memory": "/work/t/memory",
        "config": "/work/t/config",
    }
    assert template.binds(replace(MACHINE, template="/templates/t")) == {"memory": "/templates/t/memory"}
    assert template.binds(MACHINE) == {} and template.fifos(MACHINE, None) == {}


def test_a_clone_finds_what_to_do_in_a_fifo() -> None:
    machine = replace(MACHINE, template="/templates/t")
    found = template.fifos(machine, qemu.plugs(machine, "guest").state)
    said = [json.loads(line) for line in found["clone.in"].splitlines()]
    assert [each["execute"] for each in said] == ["qmp_capabilities", "migrate-set-capabilities", "migrate-incoming"]
    assert said[2]["arguments"] == {"uri": "fd:7"} and found["clone.out"] == ""
    kept = [each["execute"] for each in template.keeping("state")]
    assert kept == ["migrate-set-capabilities", "migrate"], "its capability is the same"


def test_the_ready_service_is_not_kept_with_its_secrets() -> None:
    ready = {"vm": {"template": "ready"}, "source": "./x"}
    template.refuse_impossible(Service.model_validate(ready))
    template.refuse_impossible(Service.model_validate({"source": "./x", "secrets": ["API_KEY"]}))
    with pytest.raises(UserError, match="secrets") as refused:
        template.refuse_impossible(Service.model_validate(ready | {"secrets": ["API_KEY"]}))
    assert refused.value.hint is not None and "template: boot" in refused.value.hint
    with pytest.raises(UserError, match="machine id and ssh keys"):
        template.refuse_impossible(Service.model_validate({"vm": {"template": "ready", "base": "debian"}}))
