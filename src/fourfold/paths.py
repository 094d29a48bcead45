"""Where things are kept: one folder with FOURFOLD_HOME, else /var/lib and /run for root, the XDG folders for a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path: sockaddr_un.sun_path without its terminating zero (unix(7))."""


@dataclass(frozen=True)
class Paths:
    """The folders of one Fourfold. Nothing here touches the disk; see `store.layout.create`."""

    state: Path
    """Survives a reboot: database, sources, artifacts, logs, the secrets' key."""
    run: Path
    """Gone after a reboot: sockets, locks, gateway configuration."""
    config: Path
    """`fourfold.toml`."""
    home: Path | None = None
    """FOURFOLD_HOME, if that is set."""

    @classmethod
    def find(cls, environ: Mapping[str, str], uid: int) -> Paths:
        if home := environ.get("FOURFOLD_HOME"):
            root = Path(home).absolute()
            return cls(state=root / "state", run=root / "run", config=root / "config", home=root)
        if uid == 0:
            return cls(state=Path("/var/lib/fourfold"), run=Path("/run/fourfold"), config=Path("/etc/fourfold"))
        user = Path(environ.get("HOME", "/nonexistent"))
        return cls(
            state=Path(environ.get("XDG_STATE_HOME") or user / ".local/state") / "fourfold",
            run=Path(environ.get("XDG_RUNTIME_DIR") or user / ".cache") / "fourfold",
            config=Path(environ.get("XDG_CONFIG_HOME") or user / ".config") / "fourfold",
        )

    @property
    def database(self) -> Path:
        return self.state / "fourfold.db"

    @property
    def secrets_key(self) -> Path:
        return self.state / "secrets.key"

    @property
    def lambda_keys(self) -> Path:
        """What clients of Lambda's API sign with: where a person looks first."""
        return (self.home or self.state) / "lambda-keys.json"

    @property
    def blobs(self) -> Path:
        """Files of sources, by SHA-256."""
        return self.state / "blobs"

    @property
    def sources(self) -> Path:
        """Manifests of sources, by SHA-256."""
        return self.state / "sources"

    @property
    def route_counters(self) -> Path:
        """What the gateway has counted per route."""
        return self.state / "route-counters.json"

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    @property
    def bakery(self) -> Path:
        """Files that builds have made to be taken away, by SHA-256."""
        return self.state / "bakery"

    @property
    def locks(self) -> Path:
        """Resolved versions of dependencies whose artifacts are not here: a backup brought them."""
        return self.state / "locks"

    @property
    def images(self) -> Path:
        """Unpacked layers of container images, and bases made of this host's distribution."""
        return self.state / "images"

    @property
    def disks(self) -> Path:
        """What virtual machines boot: kernels, initial file systems, read-only disks."""
        return self.state / "disks"

    @property
    def templates(self) -> Path:
        """Booted virtual machines that new ones continue from."""
        return self.state / "templates"

    @property
    def machines(self) -> Path:
        """Of running virtual machines: sockets, and what their guests report."""
        return self.run / "machines"

    @property
    def hosts(self) -> Path:
        """Of each run of a host: a folder with its guests' artifacts and logs, and its control socket."""
        return self.state / "hosts"

    def guests(self, host: str, run: int) -> Path:
        """The folder of one run of a host."""
        return self.hosts / f"{host}.{run}"

    @property
    def containers(self) -> Path:
        """What the OCI runtime knows of running containers (`--root`)."""
        return self.run / "containers"

    @property
    def functions(self) -> Path:
        """Sockets of invokers, where the daemon hands them events."""
        return self.run / "functions"

    @property
    def usage(self) -> Path:
        """Journals of what invocations took, one folder per function."""
        return self.state / "usage"

    @property
    def caches(self) -> Path:
        """Download caches of builds, one per service."""
        return self.state / "caches"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def certificates(self) -> Path:
        """Of apps' gateways: chain and key in one file each, mode 0600."""
        return self.state / "certificates"

    @property
    def work(self) -> Path:
        """Half-made things: builds in progress; emptied when the daemon starts."""
        return self.state / "work"

    @property
    def socket(self) -> Path:
        """The API's Unix socket, mode 0600."""
        return self.run / "fourfold.sock"

    @property
    def spawner_socket(self) -> Path:
        return self.run / "spawner.sock"

    @property
    def spawner_journal(self) -> Path:
        return self.run / "spawner.journal"

    @property
    def spawner_lock(self) -> Path:
        """With what it protects, as the daemon's: whatever becomes of `run`, or wherever another caller has it."""
        return self.state / "spawner.lock"

    @property
    def daemon_lock(self) -> Path:
        return self.state / "daemon.lock"

    @property
    def daemon_log(self) -> Path:
        return self.state / "daemon.log"

    @property
    def gateway(self) -> Path:
        """HAProxy's configuration and sockets."""
        return self.run / "gateway"

    @property
    def settings(self) -> Path:
        return self.config / "fourfold.toml"
