"""A Machine becomes QEMU's command line, and entries the guest's configuration: on no host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fourfold.launch import qemu
from fourfold.launch.model import Forwarded, Listen, Machine, Share

MACHINE = Machine(
    kind="microvm",
    accelerator="tcg",
    memory=96 << 20,
    cpus=1,
    kernel="/disks/k",
    initrd="/disks/i",
    disks=("/disks/base", "/disks/app"),
    parameters=("quiet", "panic=-1"),
)
MAC = "02:42:0a:b1:00:05"


def command(machine: Machine = MACHINE) -> str:
    plugs = qemu.plugs(machine, "guest")
    return " ".join(qemu.command(machine, "shop.catalog-3-k7f2", MAC, plugs))


def test_an_ordinary_one() -> None:
    assert command().split(" -") == [
        "qemu-system-x86_64",
        "name shop.catalog-3-k7f2",
        "M microvm,ioapic2=off",
        "accel tcg,tb-size=64",
        "cpu max,erms=off,fsrm=off",
        "smp 1",
        "m 96M",
        "global virtio-mmio.force-legacy=false",
        "nodefaults",
        "no-user-config",
        "display none",
        "no-reboot",
        "sandbox on,obsolete=deny,resourcecontrol=deny,elevateprivileges=deny,spawn=deny",
        "kernel kernel",
        "initrd initrd",
        "append console=ttyS0 quiet panic=-1",
        "blockdev driver=raw,node-name=disk0,read-only=on,file.driver=file,file.filename=disk0",
        "device virtio-blk-device,drive=disk0,serial=fourfold-0",
        "blockdev driver=raw,node-name=disk1,read-only=on,file.driver=file,file.filename=disk1",
        "device virtio-blk-device,drive=disk1,serial=fourfold-1",
        "blockdev driver=raw,node-name=config,read-only=on,file.driver=file,file.filename=config",
        "device virtio-blk-device,drive=config,serial=fourfold-config",
        "netdev tap,id=net,fd=3",
        f"device virtio-net-device,netdev=net,mac={MAC},guest_announce=off",
        "chardev file,id=console,path=/proc/self/fd/1,append=on",
        "serial chardev:console",
        "chardev socket,id=qmp,fd=5,server=on,wait=off",
        "mon chardev=qmp,mode=control",
        "device virtio-serial-device,max_ports=4",
        "chardev file,id=output,path=/proc/self/fd/1,append=on",
        "device virtserialport,chardev=output,name=fourfold.output",
        "chardev file,id=report,path=/proc/self/fd/6,append=on",
        "device virtserialport,chardev=report,name=fourfold.report",
        "chardev socket,id=control,fd=4,server=on,wait=off",
        "device virtserialport,chardev=control,name=fourfold.control",
    ]


def test_nothing_secret_and_no_path_of_the_host_is_in_it() -> None:
    assert "/disks" not in command() and "10.177" not in command()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"kind": "q35"}, ["-M q35 -accel", "virtio-blk-pci,drive=disk0", "virtio-net-pci", "romfile=", "serial-pci"]),
        ({"accelerator": "kvm"}, ["-accel kvm -cpu host"]),
        ({"cpus": 2, "memory": 512 << 20}, ["-smp 2 -m 512M"]),
        (
            {"shares": (Share("/volumes/a", "/data"),)},
            [
                "-M microvm,memory-backend=ram,ioapic2=off ",
                "-object memory-backend-memfd,id=ram,size=96M,share=on",
                "-chardev socket,id=share0,path=share0 -device vhost-user-fs-device,chardev=share0,tag=share0",
            ],
        ),
    ],
)
def test_what_a_machine_asks_for(changes: dict[str, object], wanted: list[str]) -> None:
    got = command(replace(MACHINE, **changes))  # type: ignore[arg-type]
    assert all(each in got for each in wanted), got


def test_a_second_ioapic_only_where_the_places_of_one_are_not_enough() -> None:
    def has(shares: int) -> bool:
        return "ioapic2=off" not in command(replace(MACHINE, shares=(Share("/volumes/a", "/data"),) * shares))

    assert not has(3) and has(4)


FORWARDED = Forwarded("/disks/init", (20012, 8080), ((Listen("198.18.0.100", 29001), 29001),))


def test_without_a_bridge_only_what_is_forwarded_passes() -> None:
    got = command(replace(MACHINE, forwarded=FORWARDED))
    assert (
        "-netdev user,id=net,restrict=on,ipv6=off,net=198.18.0.0/16,host=198.18.0.2,dns=198.18.0.3,"
        "dhcpstart=198.18.0.15,"
        "hostfwd=tcp:127.0.0.1:20012-:8080,guestfwd=tcp:198.18.0.100:29001-cmd:./forward forward 29001 -device" in got
    )
    assert "-sandbox on,obsolete=deny,resourcecontrol=deny -kernel" in got and "fd=3,server=on" in got, "without a tap"


def test_a_template_takes_no_ports_and_starts_no_programs() -> None:
    got = command(replace(MACHINE, forwarded=FORWARDED, kept="/work/template"))
    assert "restrict=on" in got and "fwd" not in got and "spawn=deny" in got


def test_a_clone_reads_its_state_from_a_descriptor_too() -> None:
    plugs = qemu.plugs(replace(MACHINE, template="/templates/t"), "guest")
    assert plugs.opened[-1] == ("read", "/templates/t/state") and plugs.number(*plugs.opened[-1]) == 7


def test_the_configuration_fills_whole_blocks() -> None:
    text = qemu.configuration([("hostname", "x"), ("env", "A=ü\udcff"), ("env", "B=")])
    raw = text.encode(errors="surrogateescape")
    head, _, rest = raw.partition(b"\n")
    assert head == b"FOURFOLD GUEST 1 0000000028" and len(raw) == 4096
    assert rest[:28] == "hostname=x\0env=A=ü".encode() + b"\xff\0env=B=\0" and not rest[28:].strip(b"\0")
