"""Pattern `vm`: one instance is one virtual machine that runs the service and nothing else.

Its root is made of read-only disks, what is written lies in memory, volumes are folders of this host. Containers with
`isolation: vm` are such machines too: the same image on one disk.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from fourfold.errors import UserError
from fourfold.launch import qemu, template
from fourfold.launch.accounts import ROOT_GROUP, ROOT_PASSWD, Account, named
from fourfold.launch.common import Facts, ImageFacts, environment, limits, secret_files
from fourfold.launch.container import foreign, runs_as, stop_signal
from fourfold.launch.model import Launch, Limits, Listen, Machine, Powers, Share, Stop
from fourfold.launch.names import FORWARDED_OWN, HostNames, hostname, hosts, resolv_conf
from fourfold.spec.model import Service

_MIB = 1024 * 1024
WHOLE_SYSTEM, INIT = "debian", "/sbin/init"
"""The base with an init of its own."""
LEAST_MEMORY = 32 * _MIB
"""That a service can be given."""
USUAL_MEMORY = 512 * _MIB
"""Of a service that does not say how much it needs. Of a guest's memory only what it has used is taken."""
MOST_VOLUMES = 16
"""A microvm has 24 places for devices at most (see `launch.qemu`): disks, network and the ports of the guest's init
take the others."""
CUT_OFF = "reaches services of its app and nothing else: only root can give it a network"
"""What is to be known of each that is forwarded."""
UNLOCKED = "locks on files of their volumes count within one machine only: the virtiofsd of this host has no others"
KERNEL, _SYSTEMD = 64 * _MIB, 160 * _MIB
"""What a guest's own takes, beside what its service may."""
_MOST_TMP = 1024 * _MIB
_MOST_PROCESSES = 4096


def launch(service: Service, facts: Facts, container: bool = False) -> Launch:
    """The Launch of one instance. UserError: this host has no virtual machines, or the image no such user.

    `container`: what it boots is a container's image, whatever its `vm` block says of a base.
    """
    refuse_impossible(service, facts.powers, container)
    image = facts.image
    assert image is not None
    who = runs_as(service, facts.user, image)
    bound, reached = _listens(facts.port, image)
    machine = _machine(service, facts, image, who, is_whole_system(service, container))
    return Launch(
        instance=facts.instance,
        argv=facts.argv,
        env=environment(service, replace(facts, scratch="/tmp", user=who.user), bound, who.user.home, image.env),
        cwd=image.cwd,
        user=who.user,
        limits=_around(limits(service), machine),
        files=secret_files(service),
        network=image.bridge or "host",
        machine=machine,
        listen=reached,
        stop=Stop(stop_signal(service, image.stop_signal), service.stop.grace),
    )


def _listens(port: int | None, image: ImageFacts) -> tuple[Listen | None, Listen | None]:
    """-> what its program binds, and where that is reached."""
    if port is None:
        return None, None
    if image.bridge is not None:
        return Listen("0.0.0.0", port), Listen(image.bridge.address.partition("/")[0], port)
    assert image.forwarded is not None and image.forwarded.port is not None
    return Listen("0.0.0.0", image.forwarded.port[1]), Listen("127.0.0.1", port)


def refuse_impossible(service: Service, powers: Powers, container: bool = False) -> None:
    """Before anything changes. `container`: as for `launch`. UserError."""
    if not powers.machines:
        why = powers.missing.get("machines", "this host cannot start any")
        raise UserError(f"cannot run as a virtual machine: {why}", "`fourfold doctor` tells what is missing here")
    if powers.forwarded:
        _refuse_to_users(service, container)
    if service.volumes and not powers.shares:
        why = powers.missing.get("shares", "this host has no virtiofsd")
        raise UserError(
            f"cannot give volume {service.volumes[0].name} to a virtual machine: {why}",
            "install what is missing and run the daemon as root, or drop the volume",
        )
    if len(service.volumes) > MOST_VOLUMES:
        raise UserError(
            f"cannot give {len(service.volumes)} volumes to a virtual machine: it has places for {MOST_VOLUMES}",
            "put what belongs together into folders of one volume",
        )
    template.refuse_impossible(service)
    memory = service.resources.memory
    if memory is not None and memory < LEAST_MEMORY:
        raise UserError(
            f"cannot run as a virtual machine with {memory / _MIB:g} MiB: it takes {LEAST_MEMORY // _MIB}Mi at least",
            "raise resources.memory; what the guest's kernel takes comes on top by itself",
        )


def _refuse_to_users(service: Service, container: bool) -> None:
    base = service.container.base if container else service.vm.base
    if foreign(service) or base not in (("debian", "scratch") if container else ("minimal",)):
        what = f"base {base}" if not foreign(service) else "an image that others made"
        raise UserError(
            f"cannot run as a virtual machine with {what}: only root can unpack files that belong to others",
            "use `vm: {base: minimal}`, or run the daemon as root",
        )
    if service.vm.template == "ready" and not container:
        raise UserError(
            "cannot keep a template of the ready service: only root can give it a network that no instance has",
            "set `template: boot` in its `vm` block, or run the daemon as root",
        )


def is_whole_system(service: Service, container: bool = False) -> bool:
    """Whether its base has an init of its own, which runs the service."""
    return service.vm.base == WHOLE_SYSTEM and service.image is None and not container


def machine_memory(service: Service, whole_system: bool) -> int:
    """Bytes, whole MiB: what the service may take, and what its kernel does."""
    return guest_memory(service.resources.memory or USUAL_MEMORY, _SYSTEMD if whole_system else KERNEL)


def guest_memory(asked: int, own: int) -> int:
    """Bytes, whole MiB. `own`: of the system in it."""
    return math.ceil((asked + own + asked // 32) / _MIB) * _MIB


def host_memory(machine_memory: int, shares: int) -> int:
    """Bytes that the processes of a machine may take of this host."""
    return machine_memory + qemu.OVERHEAD + qemu.SHARE_OVERHEAD * shares


def parameters(kind: str, accelerator: str, ticks: int, whole_system: bool = False) -> tuple[str, ...]:
    """Of the kernel (admin-guide/kernel-parameters.rst). Under TCG it is told what it cannot measure well.

    The console is the service's log: of what its systemd does, only what fails is for there (kernel-command-line(7)).
    """
    told: tuple[str, ...] = ()
    if accelerator == "tcg":
        told = ("tsc=reliable", "no_timer_check", "mitigations=off")
        # Debian's kernels count 250 jiffies a second.
        told += (f"tsc_early_khz={ticks}", f"lpj={ticks * 4}") if ticks else ()
    return (
        *("loglevel=3", "panic=-1", "nokaslr", "cryptomgr.notests", "8250.nr_uarts=1", "rcupdate.rcu_expedited=1"),
        *("random.trust_cpu=on", *told, *(("pci=off",) if kind == "microvm" else ())),
        *(("systemd.show_status=auto",) if whole_system else ()),
    )


def _machine(service: Service, facts: Facts, image: ImageFacts, who: Account, whole_system: bool) -> Machine:
    boot, powers = facts.boot, facts.powers
    assert boot is not None
    accelerator = powers.accelerator or "tcg"
    kind: Literal["microvm", "q35"] = "q35" if service.vm.machine == "q35" else "microvm"
    return Machine(
        kind=kind,
        accelerator=accelerator,
        memory=machine_memory(service, whole_system),
        cpus=max(1, math.ceil(service.resources.cpu or 1)),
        kernel=boot.kernel,
        initrd=boot.initrd,
        disks=boot.disks,
        parameters=parameters(kind, accelerator, powers.ticks, whole_system),
        guest=_guest(service, facts, image, who, whole_system),
        shares=_shares(service, facts),
        template=boot.template,
        owner=facts.user if powers.users else None,
        forwarded=image.forwarded,
    )


def _shares(service: Service, facts: Facts) -> tuple[Share, ...]:
    """Outer ones first: the guest mounts them in this order."""
    shares = (Share(facts.volumes[volume.name], volume.path) for volume in service.volumes)
    return tuple(sorted(shares, key=lambda share: share.target.count("/")))


def _around(bounds: Limits, machine: Machine) -> Limits:
    """Of the machine's processes on this host. What the service itself may take, the guest sees to."""
    return replace(bounds, memory=host_memory(machine.memory, len(machine.shares)), pids=None)


def _guest(
    service: Service, facts: Facts, image: ImageFacts, who: Account, whole_system: bool
) -> tuple[tuple[str, str], ...]:
    """As guest/README.md has it. What differs from start to start is added by `supervise.machines.machines`."""
    memory = service.resources.memory or USUAL_MEMORY
    entries = [("hostname", hostname(facts.instance))]
    entries += [("file", f"{path}:644:0:0:{content}") for path, content in _etc(facts, image, who).items()]
    entries += [("groups", ",".join(map(str, who.groups)))] if who.groups else []
    entries += [
        ("tmp", str(min(memory // 2, _MOST_TMP))),
        ("memory", str(memory)),
        ("pids", str(service.resources.pids or _MOST_PROCESSES)),
        ("stop", stop_signal(service, image.stop_signal)),
        ("grace", f"{math.ceil(service.stop.grace)}"),
    ]
    if whole_system:
        entries += [("init", INIT)]
    return tuple(entries)


def _etc(facts: Facts, image: ImageFacts, who: Account) -> dict[str, str]:
    bridge = image.bridge
    own = bridge.address.partition("/")[0] if bridge is not None else FORWARDED_OWN
    resolvers = image.names if bridge is not None else HostNames()  # without a bridge, nobody can be asked
    passwd, group = named(who.user, image.passwd or ROOT_PASSWD, image.group or ROOT_GROUP)
    return {
        "/etc/hostname": f"{hostname(facts.instance)}\n",
        "/etc/hosts": hosts(facts.instance, own, image.names, facts.names),
        "/etc/resolv.conf": resolv_conf(resolvers),
        "/etc/passwd": passwd,
        "/etc/group": group,
    }
