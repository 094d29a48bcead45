"""A function's sandbox as a virtual machine: which one it is, and what the invoker is told of it. Pure.

QEMU is to its sandbox what the function's program is to others: it runs as the service's user in namespaces, control
groups and a network that the cradle makes (`functions/README.md`). The guest reaches others through QEMU's own network
there, so that no interface is needed: what QEMU's host alias leads to is the loopback on which the invoker listens.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from fourfold.errors import UserError
from fourfold.functions.model import FULL_CORE, PIDS, RUNTIME_API, SandboxMachine
from fourfold.launch import qemu, template
from fourfold.launch.accounts import ROOT_GROUP, ROOT_PASSWD, named
from fourfold.launch.common import Facts
from fourfold.launch.model import Launch, Limits, Machine, Powers
from fourfold.launch.names import hostname
from fourfold.launch.vm import KERNEL, LEAST_MEMORY, guest_memory, host_memory, parameters
from fourfold.spec.model import Service

_MIB = 1024 * 1024
_QUIET = ("nowatchdog",)
"""A guest that was frozen finds that it has stood still for long, and need not say so."""
_REPORT = "report"


def machine(service: Service, facts: Facts, memory: int) -> Machine:
    """`memory`: bytes that the function may take."""
    boot, powers = facts.boot, facts.powers
    assert boot is not None
    accelerator = powers.accelerator or "tcg"
    return Machine(
        kind="microvm",
        accelerator=accelerator,
        memory=guest_memory(memory, KERNEL),
        cpus=max(1, ceil(memory / FULL_CORE)),
        kernel=boot.kernel,
        initrd=boot.initrd,
        disks=boot.disks,
        parameters=(*parameters("microvm", accelerator, powers.ticks), *_QUIET),
        guest=_guest(service, facts, memory),
        owner=facts.user if powers.users else None,
        apart=True,
    )


def refuse_impossible(powers: Powers, memory: int) -> None:
    """Before anything changes. UserError."""
    if not (powers.machines and powers.apart):
        why = powers.missing.get("apart" if powers.machines else "machines", "this host cannot start any")
        raise UserError(
            f"cannot run its sandboxes as virtual machines: {why}",
            "`fourfold doctor` tells what is missing here; `function: {isolation: namespace}` needs none",
        )
    if memory < LEAST_MEMORY:
        raise UserError(
            f"cannot run its sandboxes as virtual machines with {memory / _MIB:g} MiB: they take "
            f"{LEAST_MEMORY // _MIB}Mi at least",
            "raise resources.memory; what the guest's kernel takes comes on top by itself",
        )


def told(made: Machine) -> SandboxMachine:
    """What its invoker is to know."""
    clone = replace(made, template="template")
    plugs = qemu.plugs(clone, _REPORT)
    files = {qemu.KERNEL: made.kernel, qemu.INITRD: made.initrd}
    files |= {f"disk{number}": disk for number, disk in enumerate(made.disks)}
    name = dict(made.guest)["hostname"]
    return SandboxMachine(
        files=files,
        boot=qemu.command(made, name, qemu.APART_MAC, qemu.plugs(made, _REPORT)),
        go_on=qemu.command(clone, name, qemu.APART_MAC, plugs),
        fifos=template.fifos(clone, plugs.state),
        guest=made.guest,
        address=qemu.APART_OWN,
        api=f"{qemu.APART_HOST}:{RUNTIME_API.rpartition(':')[2]}",
        memory=host_memory(made.memory, 0),
        accelerator=made.accelerator,
    )


def of_template(invoker: Launch) -> Launch:
    """What boots to become the template of its sandboxes."""
    made = invoker.sandbox
    assert made is not None
    return Launch(
        instance=invoker.instance,
        argv=("-",),
        user=made.owner,
        limits=Limits(memory=host_memory(made.memory, 0)),
        network="none",
        machine=made,
    )


def _guest(service: Service, facts: Facts, memory: int) -> tuple[tuple[str, str], ...]:
    """As guest/README.md has it. The cradle adds how names resolve, the program, and what is each one's own."""
    image = facts.image
    assert image is not None and facts.user is not None
    passwd, group = named(facts.user, image.passwd or ROOT_PASSWD, image.group or ROOT_GROUP)
    etc = {
        "/etc/hostname": f"{hostname(facts.instance)}\n",
        "/etc/passwd": passwd,
        "/etc/group": group,
    }
    return (
        ("hostname", hostname(facts.instance)),
        *(("file", f"{path}:644:0:0:{content}") for path, content in etc.items()),
        ("mac", qemu.APART_MAC),
        ("address", f"{qemu.APART_OWN}/24"),
        ("gateway", qemu.APART_HOST),
        ("tmp", str(service.function.tmp)),
        ("memory", str(memory)),
        ("pids", str(service.resources.pids or PIDS)),
        ("descriptors", "1024"),
    )
