"""Gives an instance what it needs on this host (port, user, volumes, addresses) and has it spawned."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from operator import is_
from pathlib import Path

from fourfold.control.goals import SYSTEM, is_forwarded, on_bridge
from fourfold.control.instances.addresses import block_size, last_block, last_given, next_block, next_free
from fourfold.control.instances.containers import image_facts
from fourfold.control.instances.functions import function_facts
from fourfold.control.registry import Registry, key_of
from fourfold.control.settings import Settings
from fourfold.errors import NotFoundError, WorldError
from fourfold.functions.model import TASK
from fourfold.launch.common import APP, BootFacts, Facts, FunctionFacts, ImageFacts, addresses_of, url_variable
from fourfold.launch.container import runs_as, stop_signal
from fourfold.launch.function import function_name
from fourfold.launch.model import Forwarded, Launch, Listen, User
from fourfold.launch.names import FORWARDED_GATEWAY, service_address
from fourfold.launch.patterns import launch, needs_machines
from fourfold.launch.shared import place
from fourfold.paths import Paths
from fourfold.spec.groups import GROUP
from fourfold.spec.model import FixedPort, Service
from fourfold.store.files.artifacts import Artifact, Artifacts, Boot, Image
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images
from fourfold.store.garbage.quotas import share_of
from fourfold.store.model import InstanceRow, ServiceRow
from fourfold.supervise.network.bridge import BridgeNetwork
from fourfold.supervise.supervisor import Supervisor

FUNCTION_NAME = "AWS_LAMBDA_FUNCTION_NAME"
EVENT = "FOURFOLD_EVENT"
"""Variable of a run of a job: the event that it was started for, as JSON."""


class Starter:
    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        registry: Registry,
        artifacts: Artifacts,
        images: Images,
        disks: Disks,
        supervisor: Supervisor,
        gateway_launch: Callable[[str], Launch],
        bridge: BridgeNetwork,
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._registry = registry
        self._artifacts = artifacts
        self._images = images
        self._disks = disks
        self._supervisor = supervisor
        self._gateway_launch = gateway_launch
        self._bridge = bridge
        self._last_address: str | None = None
        self._last_block: str | None = None
        self._last_urls: tuple[tuple[list[ServiceRow], str], dict[str, str]] = ([], ""), {}
        self.named: Callable[[str, str], tuple[str, str]] = lambda app, service: ("", "$LATEST")
        """Which function and version a service is to clients of Lambda's API."""
        self.event_of: Callable[[str], str] = lambda instance: ""
        """What a run of a job is told it was started for."""
        self._lent: dict[str, str] = {}
        """One-off -> its address, which is in no row."""
        self._next_port = settings.ports[0] + os.getpid() * 97 % (settings.ports[1] - settings.ports[0] + 1)

    def prepare(self, row: InstanceRow) -> tuple[InstanceRow, Launch, dict[str, str]]:
        """The row with its port and address (the next one to be prepared must not get them too: put it into the
        registry), its Launch, and the values of its secrets. Raises UserError or WorldError."""
        if row.app == SYSTEM:
            return row, self._gateway_launch(row.id), {}
        key = key_of(row)
        service = self._registry.spec(key, row.release)
        row = self.placed(row, service)
        command = service.deploy.before if row.role == "before" else None
        if row.role == "run" and (event := self.event_of(row.id)):
            service = service.model_copy(update={"env": {**service.env, EVENT: event}})
        made = self.launch(row, service, _argv(command) if command is not None else None)
        names = {use.name for use in service.secrets}
        return row, made, self._registry.store.secrets.resolve(row.app, names)

    def launch(self, row: InstanceRow, service: Service, argv: tuple[str, ...] | None) -> Launch:
        """The Launch of one instance; `argv` other than the release's for `before` and `run`."""
        key = key_of(row)
        build = self._registry.build(key, row.release, row.pattern)
        if build is None:
            raise NotFoundError(
                f"cannot start {row.id}: release {row.release} was not built for pattern {row.pattern}",
                f"`fourfold deploy {row.service}` builds it",
            )
        artifact = replace(self._artifacts.get(build.artifact), argv=argv or build.argv)
        host = self._registry.instances.get(row.host) if row.host is not None else None
        if row.host is not None and host is None:
            raise WorldError(f"cannot start {row.id}: its host {row.host} is gone")
        guests = self._guests(host or row, row.pattern) if argv is None or host is not None else None
        boot = self._boot(row, artifact.boot) if artifact.boot is not None else None
        forwarded = self._forwarded(row, service, boot) if boot is not None else None
        image = self._image(row, artifact.image, boot is None, forwarded) if artifact.image is not None else None
        private = self._supervisor.powers.private
        if host is not None:
            where = place(row.id, str(guests), private)
            artifact = replace(artifact.located(Path(where)), tree=artifact.tree)
        elif image is None and not private:
            artifact = artifact.located(artifact.tree)
        invokes = self._function(row, artifact) if argv is None else None
        home = self._registry.services[key]
        of = home if host is None else self._registry.services[key_of(host)]
        user = self.user(of, in_guest=forwarded is not None)
        owner = user if image is None else runs_as(service, user, image).user
        facts = Facts(
            app=row.app,
            service=row.service,
            instance=row.id,
            release=row.release,
            tree=str(artifact.tree)
            if image is None or invokes is not None or (boot is None and any(artifact.tree.iterdir()))
            else "",
            argv=artifact.argv,
            artifact_env=self._environment(row, service, artifact, invokes),
            powers=self._supervisor.powers,
            user=user,
            port=row.port,
            urls=self.urls(row),
            names=self.names(row),
            volumes={volume.name: str(self._volume(home, volume.name, owner)) for volume in service.volumes},
            scratch=str(self._scratch(row)),
            image=image,
            boot=boot,
            function=invokes,
            host=row.host,
            guests=guests,
        )
        most = share_of(self._settings.log_total, self._settings.log_bytes, len(self._registry.instances))
        return replace(launch(row.pattern, service, facts), log_bytes=most)

    def _guests(self, host: InstanceRow, pattern: str) -> str | None:
        """The folder of this run of a host; None for what is no group's business."""
        return str(self._paths.guests(host.id, host.run)) if pattern in (GROUP, "shared") else None

    def stop_signal(self, row: InstanceRow) -> str:
        """As its Launch has it, without making that anew: what it was made of may be gone."""
        if row.pattern == "function":
            return "TERM"  # an invoker is no program of the service's
        key = key_of(row)
        build, image = self._registry.build(key, row.release, row.pattern), None
        if build is not None:
            with suppress(NotFoundError):
                image = self._artifacts.get(build.artifact).image
        return stop_signal(self._registry.spec(key, row.release), image.stop_signal if image else None)

    def _function(self, row: InstanceRow, artifact: Artifact) -> FunctionFacts | None:
        """None for what runs beside an invoker."""
        if artifact.function is None or row.block is None:
            return None
        key = key_of(row)
        return function_facts(
            self._paths, self._bridge, artifact.function, artifact.tree, row.id, row.block, key,
            self.named(row.app, row.service), self._settings.region,
        )  # fmt: skip

    def _environment(
        self, row: InstanceRow, service: Service, artifact: Artifact, invokes: FunctionFacts | None
    ) -> dict[str, str]:
        """Sandboxes see a function's files at both places, what runs beside them at /app alone.

        A handler goes by the same name under every pattern.
        """
        own = artifact.function.env if artifact.function is not None else {}
        found = {**artifact.env, **own}
        if invokes is not None:
            return found
        if artifact.function is not None:
            found = {name: value.replace(TASK, APP) for name, value in found.items()}
        if service.function.handler is not None:
            found[FUNCTION_NAME] = self.named(row.app, row.service)[0] or function_name(row.app, row.service)
        return found

    def _boot(self, row: InstanceRow, boot: Boot) -> BootFacts:
        if not all(map(self._disks.has, boot.files)):
            raise NotFoundError(
                f"cannot start {row.id}: disks of its virtual machine are not in the store",
                f"`fourfold deploy {row.service}` makes them again",
            )
        kernel, initrd, *others = (str(self._disks.path(key)) for key in (boot.kernel, boot.initrd, *boot.disks))
        return BootFacts(kernel, initrd, tuple(others), str(self._disks.path(boot.init)) if boot.init else "")

    def _image(self, row: InstanceRow, image: Image, confined: bool, forwarded: Forwarded | None) -> ImageFacts:
        if not self._images.complete(image):
            raise NotFoundError(
                f"cannot start {row.id}: layers of its image are not in the store",
                f"`fourfold deploy {row.service}` makes them again",
            )
        bridge = self._bridge.instance(row.address) if row.address is not None else None
        layers = [self._images.folder(digest) for digest in image.layers]
        return image_facts(image, layers, bridge, forwarded, confined)

    def _forwarded(self, row: InstanceRow, service: Service, boot: BootFacts) -> Forwarded | None:
        """What of other services its machine reaches, and where it is reached, when there is no bridge."""
        if not self._is_forwarded(row):
            return None
        calls = []
        for other in self._callable(row):
            own, port = self._registry.spec(key_of(other), other.release).own_port, other.internal_port
            assert port is not None
            calls.append((Listen(FORWARDED_GATEWAY, port), port))
            if own is not None:
                calls.append((Listen(service_address(port), own), port))
        port, own = row.port, service.own_port
        return Forwarded(boot.init, (port, own) if port is not None and own is not None else None, tuple(calls))

    def _is_forwarded(self, row: InstanceRow) -> bool:
        service = self._registry.spec(key_of(row), row.release)
        return is_forwarded(row.pattern, service, self._supervisor.powers)

    def user(self, service: ServiceRow, in_guest: bool = False) -> User | None:
        """`in_guest`: in a virtual machine, where there are all users, whatever this host allows."""
        if not (self._supervisor.powers.users or in_guest):
            return None
        return User(uid=service.uid, gid=service.uid, name=service.name)

    def urls(self, row: InstanceRow) -> dict[str, str]:
        """`<NAME>_URL` of everything that an instance may call, as it reaches it: loopback, or the bridge."""
        stored = self._registry.apps.get(row.app)
        externals = stored.externals if stored is not None else {}
        found = {url_variable(name): str(external["url"]) for name, external in externals.items()}
        host = "127.0.0.1" if row.address is None and row.block is None else self._bridge.gateway
        host = FORWARDED_GATEWAY if self._is_forwarded(row) else host
        return found | self._urls_of(self._callable(row), host)

    def _urls_of(self, services: list[ServiceRow], host: str) -> dict[str, str]:
        """The same for all instances of an app that start together. Equal rows may be of other releases: after a purge
        these are numbered from 1 again."""
        (known, of), _ = self._last_urls
        if of != host or len(known) != len(services) or not all(map(is_, known, services)):
            found: dict[str, str] = {}
            for service in services:
                assert service.internal_port is not None
                protocol = self._registry.spec(key_of(service), service.release).protocol
                found |= addresses_of(service.name, protocol, host, service.internal_port)
            self._last_urls = (services, host), found
        return self._last_urls[1]

    def names(self, row: InstanceRow) -> dict[str, str]:
        """Service -> the address at which an instance with a network of its own calls it by its name."""
        if row.address is None and not self._is_forwarded(row):
            return {}
        return {
            service.name: service_address(service.internal_port)
            for service in self._callable(row)
            if service.internal_port is not None
        }

    def _callable(self, row: InstanceRow) -> list[ServiceRow]:
        """A candidate calls what the app that it runs beside has, and of that its own service at itself."""
        stored = self._registry.apps.get(row.app)
        beside = stored.candidate_of if stored is not None else None
        others = {each.name: each for each in self._registry.of_app(beside)} if beside is not None else {}
        own = {each.name: each for each in self._registry.of_app(row.app)}
        return [each for each in (others | own).values() if each.internal_port is not None]

    # -- what the host gives --------------------------------------------------------------------------------------

    def placed(self, row: InstanceRow, service: Service) -> InstanceRow:
        """Where it will be reached: an address of its own with its very port, or a free port of this host's.

        An invoker has one of those too, and addresses for its sandboxes; what runs beside it is as a process, or a
        virtual machine where these are.
        """
        serves, powers = row.role == "serve", self._supervisor.powers
        if row.pattern == "function" and (serves or not needs_machines(row.pattern, service)):
            port = self._free_port() if serves and service.port is not None else None
            return replace(row, address=None, port=port, block=self._next_block(row, service) if serves else None)
        if on_bridge(row.pattern, service, powers):
            return replace(row, address=self.next_address(), port=service.own_port if serves else None)
        if not serves or service.port is None:
            return replace(row, address=None, port=None)
        forwarded = is_forwarded(row.pattern, service, powers)
        fixed = service.port.fixed if isinstance(service.port, FixedPort) and not forwarded else None
        return replace(row, address=None, port=fixed or self._free_port())

    def lent(self, row: InstanceRow, service: Service) -> InstanceRow:
        """As `placed`, of a one-off that is attached to next: its address is its own until it has ended."""
        row = self.placed(row, service)
        if row.address is not None:
            self._lent[row.id] = row.address
        return row

    def lend(self, name: str) -> str:
        """An address on the bridge for what is attached under this name next."""
        self._lent[name] = self.next_address()
        return self._lent[name]

    def next_address(self) -> str:
        """On the bridge."""
        rows = self._registry.instances.values()
        if self._lent:
            there = self._supervisor.attached()
            self._lent = {name: address for name, address in self._lent.items() if name in there}
        used = {row.address for row in rows if row.address is not None} | {*self._lent.values()}
        blocks = {row.block for row in rows if row.block is not None}
        address = next_free(self._bridge.address, used, self._last_address or last_given(rows), blocks)
        if address is None:
            raise WorldError(
                f"cannot find a free address: all of {self._bridge.address.network} are in use",
                "give `bridge` in fourfold.toml a larger network",
            )
        self._last_address = address
        return address

    def _next_block(self, row: InstanceRow, service: Service) -> str:
        """Of addresses for an invoker's sandboxes."""
        rows = [each for each in self._registry.instances.values() if each.id != row.id]
        used = {each.address for each in rows if each.address is not None} | {*self._lent.values()}
        blocks = {each.block for each in rows if each.block is not None}
        size = block_size(service.function.concurrency, service.function.provisioned)
        block = next_block(self._bridge.address, size, used, blocks, self._last_block or last_block(rows))
        if block is None:
            raise WorldError(
                f"cannot find {size} free addresses for the sandboxes of {row.service}, as many as its "
                f"function.concurrency needs: the upper half of `bridge`, {self._bridge.address.network}, has no such "
                "block left",
                "give `bridge` in fourfold.toml a larger network, or lower function.concurrency",
            )
        self._last_block = block
        return block

    def _free_port(self) -> int:
        low, high = self._settings.ports
        used = {row.port for row in self._registry.instances.values() if row.address is None}
        for _ in range(high - low + 1):
            port = self._next_port
            self._next_port = low if port >= high else port + 1
            if port not in used and port_is_free(port):
                return port
        raise WorldError(f"cannot find a free port: {low} to {high} are all in use", "widen `ports` in fourfold.toml")

    def _volume(self, service: ServiceRow, name: str, owner: User | None) -> Path:
        """Made beside and renamed: a daemon that dies meanwhile must not leave one that its service cannot write."""
        folder = self._paths.volumes / service.app / service.name / name
        if folder.exists():
            return folder
        staged = folder.with_name(f".{name}.new")
        try:
            staged.mkdir(parents=True, exist_ok=True)
            staged.chmod(0o700)
            if owner is not None:
                os.chown(staged, owner.uid, owner.gid)
            staged.rename(folder)
        except OSError as error:
            raise WorldError(
                f"cannot make the volume {name} of {service.name}: {error.strerror} ({error.filename})",
                f"see that the disk of {self._paths.volumes} is there and has room",
            ) from error
        return folder

    def _scratch(self, row: InstanceRow) -> Path:
        folder = self._paths.run / "tmp" / row.app / row.service
        if not self._supervisor.powers.private:
            folder.mkdir(parents=True, exist_ok=True)
        return folder


def _argv(command: str | list[str]) -> tuple[str, ...]:
    return ("/bin/sh", "-c", command) if isinstance(command, str) else tuple(command)


def port_is_free(port: int) -> bool:
    """Whether a program could listen there now. Another may be quicker: then the instance ends and gets a new port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
