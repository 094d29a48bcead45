"""Pattern `container`: one instance is one container, started by an OCI runtime from the layers of an image.

Its root is the image's, read-only unless asked otherwise; the artifact is at `/app`, as for a process. /tmp and /run
are its own, in memory; /run of an image that others made and that can be written is the image's.
"""

from __future__ import annotations

import re
import signal
from dataclasses import replace

from fourfold.errors import UserError
from fourfold.launch import oci
from fourfold.launch.accounts import ROOT_GROUP, ROOT_PASSWD, Account, account, named
from fourfold.launch.common import APP, Facts, ImageFacts, environment, limits, secret_files, volumes
from fourfold.launch.model import Bridge, Bundle, Launch, Listen, Mount, Powers, Stop, User
from fourfold.launch.names import hostname, hosts, resolv_conf
from fourfold.launch.seccomp import translate
from fourfold.spec.model import Service

_MOST_TMP = 1024 * 1024 * 1024
_REAL_TIME = re.compile(r"RT(MIN\+|MAX-)([1-9]|[12][0-9])")
"""signal(7): they have no other names. systemd as a container's first program ends by RTMIN+3."""
_ETC = ("hostname", "hosts", "resolv.conf", "passwd", "group")


def launch(service: Service, facts: Facts) -> Launch:
    """The Launch of one instance. UserError: this host has no containers, or the image no such user."""
    refuse_impossible(service, facts.powers)
    image = facts.image
    assert image is not None
    who = runs_as(service, facts.user, image)
    passwd, group = named(who.user, image.passwd or ROOT_PASSWD, image.group or ROOT_GROUP)
    bound, listen = _listens(facts, image)
    bounds = limits(service)
    tmp_bytes = min(bounds.memory // 2, _MOST_TMP) if bounds.memory else _MOST_TMP
    tree = facts.tree or None
    below_app = tuple(each.path[1:] for each in service.volumes if tree and each.path.startswith(f"{APP}/"))
    mounts = _mounts(service, facts, "app" if below_app else tree)
    container = oci.Container(
        account=who,
        cwd=image.cwd,
        hostname=hostname(facts.instance),
        read_only=service.container.read_only,
        tmp_bytes=tmp_bytes,
        seccomp=translate(image.profile, oci.capabilities(who), image.machine, image.kernel),
        mounts=(*_own_files(), *mounts),
        own_run=service.container.read_only or not foreign(service),
        secrets=any(use.file for use in service.secrets),
    )
    return Launch(
        instance=facts.instance,
        argv=facts.argv,
        env=environment(service, replace(facts, scratch="/tmp", user=who.user), bound, who.user.home, image.env),
        cwd=image.cwd,
        user=who.user,
        limits=bounds,
        files=secret_files(service),
        network=image.bridge or "host",
        bundle=Bundle(
            runtime=service.container.runtime,
            config=oci.config(container),
            overlays={"rootfs": image.layers, **({"app": (tree,)} if tree and below_app else {})},
            points=below_app,
            files={
                "hostname": f"{hostname(facts.instance)}\n",
                "hosts": hosts(facts.instance, _address(image.bridge) or "127.0.1.1", image.names, facts.names),
                "resolv.conf": resolv_conf(image.names) if image.bridge else image.names.resolv_conf,
                "passwd": passwd,
                "group": group,
            },
            size=Bundle.size if service.container.read_only else tmp_bytes,
        ),
        listen=listen,
        stop=Stop(stop_signal(service, image.stop_signal), service.stop.grace),
    )


def refuse_impossible(service: Service, powers: Powers) -> None:
    """Before anything changes. UserError."""
    runtime = service.container.runtime
    if runtime not in powers.runtimes:
        why = powers.missing.get(runtime) or powers.missing.get("containers", "this host cannot start any")
        raise UserError(
            f"cannot run as a container under {runtime}: {why}", "`fourfold doctor` tells what is missing here"
        )


def runs_as(service: Service, own: User | None, image: ImageFacts) -> Account:
    """As the image says, else as the service's own user; one that we did not make and that says nothing means root, as
    it would in Docker. UserError."""
    if image.user or foreign(service) or own is None:
        return account(image.user or "0", image.passwd or ROOT_PASSWD, image.group or ROOT_GROUP)
    return Account(own)


def foreign(service: Service) -> bool:
    """Whether its image is as others made it: ready-made, or by a Dockerfile."""
    return service.image is not None or service.container.dockerfile is not None


def _listens(facts: Facts, image: ImageFacts) -> tuple[Listen | None, Listen | None]:
    """What the program must bind, and where it is then reached."""
    if facts.port is None:
        return None, None
    if image.bridge is None:
        return (Listen("127.0.0.1", facts.port),) * 2
    return Listen("0.0.0.0", facts.port), Listen(_address(image.bridge), facts.port)


def _address(bridge: Bridge | None) -> str:
    return bridge.address.partition("/")[0] if bridge else ""


def _mounts(service: Service, facts: Facts, tree: str | None) -> tuple[Mount, ...]:
    """Outer ones first. `tree`: the artifact, or the view of it in which there are places for volumes."""
    artifact = (Mount(tree, APP, read_only=True),) if tree else ()
    return tuple(sorted((*artifact, *volumes(service, facts)), key=lambda mount: mount.target.count("/")))


def _own_files() -> tuple[Mount, ...]:
    files = (Mount(name, f"/etc/{name}", read_only=True) for name in _ETC)
    return (Mount(oci.INIT_ON_HOST, oci.INIT, read_only=True), *files)


def stop_signal(service: Service, image: str | None) -> str:
    """The file's, unless that is the default and the image has one of its own (a name or a number)."""
    said = (image or "").removeprefix("SIG")
    if service.stop.signal != "TERM" or not said:
        return service.stop.signal
    if said.isdecimal() and signal.SIGRTMIN < int(said) < signal.SIGRTMAX:
        return f"RTMIN+{int(said) - signal.SIGRTMIN}"
    if _REAL_TIME.fullmatch(said):
        return said
    try:
        found = signal.Signals(int(said)) if said.isdecimal() else signal.Signals[f"SIG{said}"]
    except (ValueError, KeyError):
        return service.stop.signal
    return found.name.removeprefix("SIG")
