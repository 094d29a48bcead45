"""What sandboxes see of the file system, made once: the cradle lives in it, and all that it starts begins there."""

from __future__ import annotations

import os
from contextlib import suppress

from fourfold.functions.model import LAYERS, RUNTIME, TASK, Config, SandboxMachine
from fourfold.launch.names import resolv_conf
from fourfold.spawner import kernel, namespace
from fourfold.spawner.namespace import stage, write_file
from fourfold.spawner.request import Spawn, User
from fourfold.supervise.network.hostnames import read_host_names

APP, MACHINE = "/app", "/machine"
_CLIENT = ".fourfold/runtime"
"""In the tree: what the build has put there to be seen at RUNTIME."""
_BESIDE_TMP = ("/var/tmp", "/dev/shm", "/run/lock")
_SMALL = 64 * 1024 * 1024


def enter(config: Config) -> None:
    """Leave the host's mounts for good. Failed: the stage that the system refused."""
    names = read_host_names()
    with stage("namespace"):
        kernel.unshare(namespace.PRIVATE)
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
    mounts = _of_machine(config.machine) if config.machine is not None else _of_code(config)
    namespace.View(_spawn(config, mounts)).build()
    if config.network.bridge and names.reachable and config.machine is None:
        with stage("resolv.conf"):
            _resolve(resolv_conf(names))


def _of_code(config: Config) -> list[tuple[str, str, bool]]:
    mounts = [(config.tree, TASK, True), (config.tree, APP, True)]
    if os.path.isdir(client := f"{config.tree}/{_CLIENT}"):
        mounts.append((client, RUNTIME, True))
    if config.layers:
        with stage("layers", ", ".join(config.layers)):
            mounts.append((_united(config.layers), LAYERS, True))
    return mounts


def _of_machine(machine: SandboxMachine) -> list[tuple[str, str, bool]]:
    """What QEMU opens. It maps a template's memory privately, and yet opens that for writing."""
    mounts = [(os.path.realpath(path), f"{MACHINE}/{name}", True) for name, path in machine.files.items()]
    if machine.template:
        mounts += [(f"{machine.template}/{name}", f"{MACHINE}/{name}", name == "state") for name in ("memory", "state")]
    return mounts


def scratch(config: Config) -> list[tuple[str, int]]:
    """(folder, bytes) of what each sandbox may write to, in memory."""
    tmp = config.tmp if config.machine is None else _SMALL  # the guest has its own
    beside = [(path, min(config.tmp, _SMALL)) for path in _BESIDE_TMP if os.path.isdir(path)]
    return [("/tmp", tmp), *((path, size) for path, size in beside if not os.path.islink(path))]


def _united(layers: tuple[str, ...]) -> str:
    """Folder that shows all layers, later ones over earlier ones. It hides the last layer's own, from us alone."""
    if len(layers) == 1:
        return layers[0]
    shown = layers[-1]
    opened = [os.open(layer, os.O_PATH | os.O_DIRECTORY) for layer in reversed(layers)]
    try:
        links = [f"/proc/self/fd/{fd}" for fd in opened]  # the kernel takes one page of options, and colons part them
        kernel.mount("overlay", shown, "overlay", namespace.PLAIN | kernel.MS_RDONLY, f"lowerdir={':'.join(links)}")
    finally:
        for fd in opened:
            os.close(fd)
    return shown


def _resolve(text: str) -> None:
    """A resolver on the host's loopback cannot be asked from another network."""
    write_file("/tmp/resolv.conf", text, 0o644)
    with suppress(FileNotFoundError):  # no such file, or it leads nowhere
        kernel.mount("/tmp/resolv.conf", os.path.realpath("/etc/resolv.conf"), None, kernel.MS_BIND)
    os.unlink("/tmp/resolv.conf")


def _spawn(config: Config, mounts: list[tuple[str, str, bool]]) -> Spawn:
    user = config.user
    return Spawn(
        instance=config.instance,
        run=0,
        argv=[],
        env={},
        cwd=TASK,
        user=User(user.uid, user.gid, user.name, TASK),
        mounts=mounts,
        files=[],
        hidden=list(config.hidden),
        private=True,
        user_namespace=False,
        network="host",
        tmp_bytes=config.tmp if config.machine is None else _SMALL,
        cgroups=[],
        log=None,
        log_bytes=0,
        held=False,
        tty=False,
        inside=None,
        bundle=None,
    )
