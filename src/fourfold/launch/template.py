"""Templates of machines: what must be the same for one to go on from another's memory, and how QEMU is told. Pure.

A template is made by booting a machine whose memory is a shared mapping of a file, and whose configuration disk says
what to read, and to wait for another. Its devices' state is then written to another file (QMP `migrate`, with the
capability `x-ignore-shared`, without the memory). A clone maps the memory privately, copy-on-write, and takes the state
in; then its guest sees the configuration, and becomes what that says. What a clone's QEMU is to be told is in a FIFO
before it is started, so that nobody has to talk to it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from fourfold.errors import UserError
from fourfold.launch.model import Bridge, Launch, Machine
from fourfold.launch.names import hostname

if TYPE_CHECKING:  # an invoker, which needs none of it, stays small
    from fourfold.spec.model import Service

MEMORY, STATE, CONFIG = "memory", "state", "config"
"""Files of a template; the last is its configuration disk, and goes once it is made."""
CONFIG_BYTES = 1 << 20
"""Size of that disk, and so the most that a clone is told: a guest keeps the sizes of disks that it has seen."""
_HEAD = 4096
"""Bytes of it for what stands before what a guest is to read."""
CLONE = "clone"
"""In QEMU's folder: the FIFOs `clone.in` and `clone.out`."""
_FORMAT = 2
"""Of the machines as QEMU is told to make them (`launch.qemu`): another one cannot take a state in."""
_OF_ONE = ("guest", "template", "kept", "waits", "forwarded")
"""What differs between machines that may go on from the same template."""
_NAMES_ONE = ("FOURFOLD_INSTANCE",)
_TAKEN_AGAIN = ("hostname", "file", "address", "gateway")
"""What a ready clone takes from its own configuration; all else stays as its template was told."""


def key(launch: Launch, host: str, ready: bool) -> str:
    """SHA-256 of all that a template and its clones must share.

    `host`: QEMU's version, and of the processor what its guests see. `ready`: the service runs in it already, so that
    its command, environment, user and bounds count too, but for what names its instance.
    """
    machine = launch.machine
    assert machine is not None
    shared: dict[str, Any] = {
        "format": _FORMAT,
        "host": host,
        "machine": {name: value for name, value in asdict(machine).items() if name not in _OF_ONE},
    }
    if ready:
        env = {name: value for name, value in launch.env.items() if name not in _NAMES_ONE}
        shared["program"] = [launch.argv, sorted(env.items()), launch.cwd, asdict(launch.limits), launch.user]
        shared["told"] = [entry for entry in machine.guest if entry[0] not in _TAKEN_AGAIN]
    return hashlib.sha256(json.dumps(shared, sort_keys=True, default=repr).encode()).hexdigest()


def learned(key: str) -> str:
    """Of the same template with what its clones read in its memory, so that none has to read it."""
    return hashlib.sha256(f"{key} learned".encode()).hexdigest()


def waiting(reads: Iterable[str]) -> list[tuple[str, str]]:
    """What the guest of a template is told: to read this, and to wait. What is too much for its disk, it does not."""
    told, room = [("wait", "1")], CONFIG_BYTES - _HEAD
    for each in reads:
        room -= len(f"read={each}\0".encode(errors="surrogateescape"))
        if room >= 0:
            told.append(("read", each))
    return told


def can_have(machine: Machine) -> bool:
    """Whether it may go on from a template: folders of the host that are shared are not part of a state."""
    return not machine.shares


def refuse_impossible(service: Service) -> None:
    """`ready` with secrets, which would lie on the disk in its memory, or where all would be one system. UserError."""
    if service.vm.template != "ready":
        return
    if service.vm.base == "debian":
        raise UserError(
            "cannot keep a template of the ready service on `base: debian`: all would have its machine id and ssh keys",
            "set `template: boot` in its `vm` block",
        )
    if service.secrets:
        raise UserError(
            "cannot keep a template of the ready service: its memory, with its secrets, would be on the disk",
            "set `template: boot` in its `vm` block: secrets then come after the restore",
        )


def named(launch: Launch, name: str, address: str | None) -> Launch:
    """The same machine under a name, and at an address, that are no instance's: a ready service may remember them."""
    machine, network = launch.machine, launch.network
    assert machine is not None
    new = {hostname(launch.instance): hostname(name)}
    if address is not None and isinstance(network, Bridge):
        was, _, prefix = network.address.partition("/")
        new[was] = address
        network = replace(network, address=f"{address}/{prefix}")
    word = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, new))})(?![\w.-])")
    told = tuple(
        (key, word.sub(lambda found: new[found[0]], value) if key == "hostname" or _is_name_file(key, value) else value)
        for key, value in machine.guest
    )
    env = {**launch.env, "FOURFOLD_INSTANCE": name} if "FOURFOLD_INSTANCE" in launch.env else launch.env
    return replace(launch, instance=name, env=env, network=network, machine=replace(machine, guest=told))


def _is_name_file(key: str, value: str) -> bool:
    return key == "file" and value.startswith(("/etc/hostname:", "/etc/hosts:"))


def memory(machine: Machine) -> tuple[str, ...]:
    """The option that makes the object `ram`, where the memory is a file."""
    if machine.template is None and machine.kept is None:
        return ()
    share = "on" if machine.kept is not None else "off"
    return (
        "-object",
        f"memory-backend-file,id=ram,size={machine.memory >> 20}M,mem-path={MEMORY},share={share}",
    )


def incoming(machine: Machine) -> tuple[str, ...]:
    """A clone waits for its state, of which it hears from the FIFO."""
    if machine.template is None:
        return ()
    return ("-incoming", "defer", "-chardev", f"pipe,id={CLONE},path={CLONE}", "-mon", f"chardev={CLONE},mode=control")


def binds(machine: Machine) -> dict[str, str]:
    """Name in QEMU's folder -> file of a template, which QEMU opens for writing."""
    if machine.kept is not None:
        return {name: f"{machine.kept}/{name}" for name in (MEMORY, CONFIG)}
    return {MEMORY: f"{machine.template}/{MEMORY}"} if machine.template is not None else {}


def fifos(machine: Machine, state: int | None) -> dict[str, str]:
    """Name in QEMU's folder -> what is in it. `state`: the descriptor under which a clone has the template's."""
    if machine.template is None:
        return {}
    commands = (
        _command("qmp_capabilities"),
        _capable("x-ignore-shared"),
        _command("migrate-incoming", uri=f"fd:{state}"),
    )
    said = "".join(f"{json.dumps(each)}\n" for each in commands)
    return {f"{CLONE}.in": said, f"{CLONE}.out": ""}


def keeping(name: str) -> Iterable[Mapping[str, Any]]:
    """What the template's QEMU is told once it waits; `name` is that of the descriptor to write the state to.

    It then tells of a MIGRATION `completed`, or `failed`.
    """
    return (_capable("x-ignore-shared", "events"), _command("migrate", uri=f"fd:{name}"))


def _capable(*names: str) -> Mapping[str, Any]:
    wanted = [{"capability": name, "state": True} for name in names]
    return _command("migrate-set-capabilities", capabilities=wanted)


def _command(name: str, **arguments: Any) -> Mapping[str, Any]:
    return {"execute": name, "arguments": arguments}
