"""A Machine as QEMU's command line and the text on the guest's configuration disk. Pure.

QEMU runs in a folder of its own that holds what the names here say, as the service's user, with what that user may not
open itself already open. Options are those of QEMU 7.2 and later (qemu(1)).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fourfold.launch import template
from fourfold.launch.model import Forwarded, Machine
from fourfold.launch.names import FORWARDED_NETWORK, FORWARDED_OWN

PROGRAM = "qemu-system-x86_64"
OVERHEAD = 128 * 1024 * 1024
"""Bytes that QEMU may take beside the guest's memory."""
SHARE_OVERHEAD = 32 * 1024 * 1024
"""That a program which serves a share may take."""
KERNEL, INITRD, CONFIG, FORWARD = "kernel", "initrd", template.CONFIG, "forward"
"""Files in its folder, beside `disk0`, `disk1`, …; the last one is a program."""
CONTROL, QMP, REPORT = "control", "qmp", "report"
"""Sockets in the folder of the start: of the guest's control channel, of QEMU's own; of a template, for what its guest
reports."""
DISK_NAME = "fourfold-{}"
"""Serial of a disk, by which the guest finds it: 0 is the lowest; see CONFIG_NAME."""
CONFIG_NAME = "fourfold-config"
CONSOLE, OUTPUT, REPORT_PORT, CONTROL_PORT = "ttyS0", "fourfold.output", "fourfold.report", "fourfold.control"
APART_HOST, APART_OWN, APART_MAC = "169.254.100.1", "169.254.100.2", "02:42:a9:fe:64:02"
"""Of a machine that is apart: what leads to the loopback of QEMU's own network, and its own addresses. Link-local ones
(RFC 3927), as AWS has them for the same; elsewhere they lead nowhere."""
_APART = f"user,id=net,ipv6=off,net=169.254.100.0/24,host={APART_HOST}"
FORWARDED_ADDRESS = f"{FORWARDED_OWN}/16"
_RESTRICTED = (
    f"user,id=net,restrict=on,ipv6=off,net={FORWARDED_NETWORK},host=198.18.0.2,dns=198.18.0.3,dhcpstart={FORWARDED_OWN}"
)
"""Whatever is not forwarded is refused or dropped: the host's loopback, which QEMU shows to guests otherwise, and all
that is elsewhere."""
_MIB = 1024 * 1024
_BLOCK = 4096
"""Bytes of the configuration are multiples of it: the guest of a template takes the disk for one of that size."""
_FIRST = 3
"""Number of the first descriptor that is not a standard stream."""
_LOG = 1
_PLACES = 8
"""For devices, of a microvm with one IOAPIC. With a second there are 24 (QEMU's hw/i386/microvm.c), and each takes
memory, and the guest's time when it looks what is there."""
_PORTS = 4
"""Ours, and the first, which QEMU keeps for a console. It has 31 unless it is told."""
_SANDBOX = "on,obsolete=deny,resourcecontrol=deny"


@dataclass(frozen=True)
class Plugs:
    """What is open for it, from descriptor 3 on, in this order: see `spawner.request.Bundle.opened`."""

    opened: tuple[tuple[str, str], ...]

    def number(self, kind: str, name: str = "") -> int | None:
        found = (at for at, each in enumerate(self.opened, _FIRST) if each == (kind, name))
        return next(found, None)

    @property
    def state(self) -> int | None:
        """Of the template that it goes on from."""
        return next((at for at, (kind, _) in enumerate(self.opened, _FIRST) if kind == "read"), None)


def plugs(machine: Machine, report: str) -> Plugs:
    """`report`: the file in the start's folder that the guest reports to."""
    state = (("read", f"{machine.template}/{template.STATE}"),) if machine.template is not None else ()
    reports = ("append", report) if machine.kept is None else ("listen", REPORT)
    tap = () if machine.apart or machine.forwarded is not None else (("tap", ""),)
    return Plugs((*tap, ("listen", CONTROL), ("listen", QMP), reports, *state))


def command(machine: Machine, name: str, mac: str, open: Plugs) -> tuple[str, ...]:
    """What the service prints and the console go to standard output, which is a file."""
    return (
        PROGRAM,
        *("-name", name.replace(",", ",,")),
        *_machine(machine),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-sandbox", _sandbox(machine)),
        *("-kernel", KERNEL, "-initrd", INITRD, "-append", " ".join((f"console={CONSOLE}", *machine.parameters))),
        *_disks(machine),
        *_network(machine, mac, open),
        *_ports(machine, open),
        *_shares(machine),
        *template.incoming(machine),
    )


def _machine(machine: Machine) -> tuple[str, ...]:
    # MiB of translated code: whatever is beyond, all is translated again. Only what is used is taken.
    accelerator = "kvm" if machine.accelerator == "kvm" else "tcg,tb-size=64"
    # Guests of TCG see the whole instruction set that it translates, which is more than its default processor's. They
    # are not told that `rep movsb` copies quickly, or kernel and C library use it: TCG does it byte by byte.
    processor = "host" if machine.accelerator == "kvm" else "max,erms=off,fsrm=off"
    backed, memory = memory_backend(machine)
    options = f"{',memory-backend=ram' if backed else ''}{',ioapic2=off' if _few_devices(machine) else ''}"
    # vhost-user knows no other virtio than that of 1.0, and virtio-mmio has the old one unless it is told.
    modern = ("-global", "virtio-mmio.force-legacy=false") if machine.kind == "microvm" else ()
    return (
        *("-M", f"{machine.kind}{options}", "-accel", accelerator, "-cpu", processor),
        *("-smp", str(machine.cpus), "-m", f"{machine.memory // _MIB}M", *memory, *modern),
    )


def _few_devices(machine: Machine) -> bool:
    """Besides disks and shares there are the configuration, the network and the ports."""
    return machine.kind == "microvm" and len(machine.disks) + len(machine.shares) + 3 <= _PLACES


def memory_backend(machine: Machine) -> tuple[bool, tuple[str, ...]]:
    """-> whether its memory is an object `ram`, and the option that makes it: templates and virtio-fs need it."""
    if option := template.memory(machine):
        return True, option
    if not machine.shares:
        return False, ()
    return True, ("-object", f"memory-backend-memfd,id=ram,size={machine.memory // _MIB}M,share=on")


def _disks(machine: Machine) -> Iterable[str]:
    for number, _ in enumerate(machine.disks):
        yield from _disk(machine, f"disk{number}", DISK_NAME.format(number))
    yield from _disk(machine, CONFIG, CONFIG_NAME)


def _disk(machine: Machine, file: str, serial: str) -> tuple[str, ...]:
    return (
        *("-blockdev", f"driver=raw,node-name={file},read-only=on,file.driver=file,file.filename={file}"),
        *("-device", f"{_device(machine, 'virtio-blk')},drive={file},serial={serial}"),
    )


def _network(machine: Machine, mac: str, open: Plugs) -> tuple[str, ...]:
    without_rom = ",romfile=" if machine.kind == "q35" else ""
    # After a restore the guest would announce the address that its template had.
    options = f"netdev=net,mac={mac},guest_announce=off{without_rom}"
    return ("-netdev", _backend(machine, open), "-device", f"{_device(machine, 'virtio-net')},{options}")


def _backend(machine: Machine, open: Plugs) -> str:
    if machine.forwarded is not None:
        return ",".join((_RESTRICTED, *_forwards(machine, machine.forwarded)))
    return _APART if machine.apart else f"tap,id=net,fd={open.number('tap')}"


def _forwards(machine: Machine, forwarded: Forwarded) -> Iterable[str]:
    """None of a template: they are each instance's own."""
    if machine.kept is not None:
        return
    if forwarded.port is not None:
        outer, inner = forwarded.port
        yield f"hostfwd=tcp:127.0.0.1:{outer}-:{inner}"
    for called, port in forwarded.calls:
        yield f"guestfwd=tcp:{called}-cmd:./{FORWARD} forward {port}"


def _sandbox(machine: Machine) -> str:
    """Without a bridge, each connection of the guest is a program that QEMU starts, in a session of its own."""
    starts = machine.forwarded is not None and machine.forwarded.calls and machine.kept is None
    return _SANDBOX if starts else f"{_SANDBOX},elevateprivileges=deny,spawn=deny"


def _ports(machine: Machine, open: Plugs) -> Iterable[str]:
    log = f"path=/proc/self/fd/{_LOG},append=on"
    yield from ("-chardev", f"file,id=console,{log}", "-serial", "chardev:console")
    yield from ("-chardev", f"socket,id=qmp,fd={open.number('listen', QMP)},server=on,wait=off")
    yield from ("-mon", "chardev=qmp,mode=control")
    yield from ("-device", f"{_device(machine, 'virtio-serial')},max_ports={_PORTS}")
    yield from _port("output", f"file,id=output,{log}", OUTPUT)
    yield from _port("report", _report(open), REPORT_PORT)
    yield from _port(
        "control", f"socket,id=control,fd={open.number('listen', CONTROL)},server=on,wait=off", CONTROL_PORT
    )


def _report(open: Plugs) -> str:
    if (listener := open.number("listen", REPORT)) is not None:
        return f"socket,id=report,fd={listener},server=on,wait=on"  # nothing begins before somebody reads it
    file = next(number for number, (kind, _) in enumerate(open.opened, _FIRST) if kind == "append")
    return f"file,id=report,path=/proc/self/fd/{file},append=on"


def _port(chardev: str, backend: str, name: str) -> tuple[str, ...]:
    return ("-chardev", backend, "-device", f"virtserialport,chardev={chardev},name={name}")


def _shares(machine: Machine) -> Iterable[str]:
    for number, _ in enumerate(machine.shares):
        tag = share_tag(number)
        yield from ("-chardev", f"socket,id={tag},path={tag}")
        yield from ("-device", f"{_device(machine, 'vhost-user-fs')},chardev={tag},tag={tag}")


def share_tag(number: int) -> str:
    """Of a share: for the guest, and as the socket between QEMU and virtiofsd."""
    return f"share{number}"


def _device(machine: Machine, name: str) -> str:
    """With microvm all devices are on virtio-mmio."""
    return f"{name}-{'device' if machine.kind == 'microvm' else 'pci'}"


HEADER = "FOURFOLD GUEST 1 {:010d}\n"


def configuration(entries: Iterable[tuple[str, str]]) -> str:
    """What the guest reads, as guest/README.md has it, filled up to whole blocks.

    Bytes that are no text are those of `surrogateescape`; values hold no NUL.
    """
    body = "".join(f"{key}={value}\0" for key, value in entries)
    size = len(body.encode(errors="surrogateescape"))
    text = HEADER.format(size) + body
    return text + "\0" * (-(len(HEADER.format(size)) + size) % _BLOCK)
