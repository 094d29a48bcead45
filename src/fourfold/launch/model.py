"""What a Launch is: everything the supervisor needs to start one instance, as data that can be compared and printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class SecretRef:
    """The name of a secret; its value is put in at spawn, in memory, and nowhere else."""

    name: str


@dataclass(frozen=True)
class User:
    """Who the instance runs as. The spawner gives it a passwd and group file that know the name."""

    uid: int
    gid: int
    name: str
    home: str = "/tmp"


@dataclass(frozen=True)
class Limits:
    """Upper bounds; None is unbounded. Enforced where `Powers` says the host can."""

    cpu: float | None = None
    """Cores."""
    cpu_weight: int | None = None
    """Its share where cores are contended, relative to the others' (100 each): a weight, not a bound."""
    memory: int | None = None
    """Bytes, page cache and children included."""
    pids: int | None = None
    """Processes and threads; None is 4096, where the host can."""
    read_bps: int | None = None
    """Bytes per second from block devices."""
    write_bps: int | None = None


@dataclass(frozen=True)
class Mount:
    """A bind mount in the instance's own mount namespace."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class File:
    """A file written into the instance's own tmpfs under /run/secrets, mode 0600, owned by its user."""

    path: str
    content: SecretRef | str


@dataclass(frozen=True)
class Stop:
    """How to end it: `signal` to the main process, SIGKILL to the whole tree after `grace` seconds."""

    signal: str = "TERM"
    grace: float = 10.0


@dataclass(frozen=True)
class Listen:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Bridge:
    """A network namespace of its own with one interface, `eth0`, on a bridge of this host."""

    name: str
    """The bridge's interface, `fourfold0`."""
    address: str
    """Of the instance, with its prefix length: `10.177.0.5/16`."""
    gateway: str
    """The bridge's own address, where its default route leads: `10.177.0.1`."""


@dataclass(frozen=True)
class Bundle:
    """An OCI bundle, made in memory when the instance is started: a root from layers, and the runtime's config.json.

    The runtime leaves the container behind and ends; the instance is the container.
    """

    runtime: str
    """Its program: `runc`, `crun` or `runsc`."""
    config: Mapping[str, Any]
    """config.json without what the Launch itself says: `process.args` and `env`. They are put in at spawn."""
    overlays: Mapping[str, tuple[str, ...]]
    """Folder in the bundle -> folders on this host, lowest first, which it shows together: `rootfs`, its root."""
    points: tuple[str, ...] = ()
    """Folders to make in those, to mount on."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files beside config.json, such as `hosts`, for its mounts; 0644."""
    size: int = 64 * 1024 * 1024
    """Bytes that all of it may take in memory, with what the program writes to its root."""


@dataclass(frozen=True)
class Share:
    """A folder of this host that a virtual machine sees, by virtio-fs: what is written is there at once."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Forwarded:
    """A machine's network where this host lets us make none: it is QEMU's own, and only this gets in or out."""

    program: str
    """Path on this host of what takes a connection out (guest/forward.c)."""
    port: tuple[int, int] | None = None
    """Port of this host's loopback, and the guest's that it leads to."""
    calls: tuple[tuple[Listen, int], ...] = ()
    """What the guest connects to, and the port of this host's loopback that this leads to."""


@dataclass(frozen=True)
class Machine:
    """A virtual machine, made by QEMU when the instance is started, in which the Launch's program runs.

    What the program is (argv, env, user, cwd, files) the Launch says; it reaches the guest on a disk in memory.
    """

    kind: Literal["microvm", "q35"]
    accelerator: Literal["kvm", "tcg"]
    memory: int
    """Bytes that the guest has; QEMU takes some more."""
    cpus: int
    kernel: str
    """Path on this host, as are `initrd` and `disks`."""
    initrd: str
    disks: tuple[str, ...]
    """Read-only file systems, lowest first."""
    parameters: tuple[str, ...]
    """Of the kernel."""
    guest: tuple[tuple[str, str], ...] = ()
    """What its init is told beside the program: `("hostname", "catalog-3-k7f2")`. See `guest/README.md`."""
    shares: tuple[Share, ...] = ()
    template: str | None = None
    """Folder of a template to continue from; None: booted."""
    kept: str | None = None
    """Folder in which a template is made of this very machine; its memory is there. None: it is no template."""
    waits: bool = False
    """A template that is not told what to run."""
    owner: User | None = None
    """Who QEMU runs as; the program in the guest may be another, such as the root of an image."""
    apart: bool = False
    """It has no interface on a bridge: others are reached by way of QEMU's own network."""
    forwarded: Forwarded | None = None
    """It has none either, and shares this host's network for what is forwarded."""


@dataclass(frozen=True)
class Launch:
    """One instance to start. Field order is the order in which a reader asks."""

    instance: str
    """Instance id, such as `shop.catalog-3-k7f2`; names its cgroup and log too."""
    argv: tuple[str, ...]
    env: Mapping[str, str | SecretRef] = field(default_factory=dict)
    """The whole environment: nothing is inherited."""
    cwd: str = "/"
    user: User | None = None
    """None: as the daemon's own user."""
    limits: Limits = Limits()
    mounts: tuple[Mount, ...] = ()
    files: tuple[File, ...] = ()
    private: bool = False
    """Own mount namespace with own /tmp, passwd and the mounts above."""
    network: Literal["host", "none"] | Bridge = "host"
    bundle: Bundle | None = None
    """Set for a container."""
    machine: Machine | None = None
    """Set for a virtual machine."""
    sandbox: Machine | None = None
    """Of an invoker: what each of its sandboxes is, where they are virtual machines. The first one's template is made
    before it starts."""
    needs_bridge: bool = False
    """It puts others on the bridge itself, which must be there before it starts."""
    listen: Listen | None = None
    stop: Stop = Stop()
    host: str | None = None
    """Instance that this one is a guest of; None: a process of its own. Its one mount is its artifact's, in the host's
    folder, and `argv` is what its host is told (`build/hosts/README.md`)."""
    service: str = ""
    """Of a guest: what its service is called."""
    path: str = "/"
    """Of a guest: under which requests reach it; it begins with `/` and does not end with one, unless it is `/`."""
    guests: str | None = None
    """Of a host: its folder on this machine, for guests, their logs and its control socket."""
    log_bytes: int = 16 * 1024 * 1024
    """At most this much output is kept on disk, the newest."""


@dataclass(frozen=True)
class Powers:
    """What this host lets us enforce. Why a power is missing stands in `missing`, for `doctor` and `status`."""

    users: bool = False
    """Each service under a uid of its own."""
    private: bool = False
    """Own mount namespace: private /tmp, volumes, secrets as files."""
    network: bool = False
    """Own network namespaces, on a bridge."""
    cpu: bool = False
    memory: bool = False
    pids: bool = False
    io: bool = False
    user_namespace: bool = False
    """`private` works only inside a user namespace: no root, so no users of their own."""
    containers: bool = False
    """Containers, under the runtimes in `runtimes`."""
    runtimes: tuple[str, ...] = ()
    """OCI runtimes that have started one here: `runc`, `crun`, `runsc`."""
    machines: bool = False
    """Virtual machines, under `accelerator`."""
    accelerator: Literal["kvm", "tcg"] | None = None
    """KVM only where a guest has really started."""
    shares: bool = False
    """Virtual machines with volumes."""
    locks: bool = False
    """Locks on files of those volumes count between all machines that have them."""
    apart: bool = False
    """Virtual machines without an interface on a bridge, which the sandboxes of functions may be."""
    forwarded: bool = False
    """Virtual machines are `Forwarded`: an ordinary user has no bridge to put them on."""
    functions: bool = False
    """Functions, whose sandboxes need users, mounts, networks and control groups."""
    ticks: int = 0
    """How fast this host's time stamp counter counts, in kHz: guests under TCG read it as it is. 0: unknown."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Power -> why it is not there, such as `{"memory": "no cgroup can be made: not root"}`."""
