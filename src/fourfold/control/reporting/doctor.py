"""What this host has and lacks. Works without a daemon too: `fourfold doctor --offline`."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fourfold.build.bases.make import require_means
from fourfold.build.disk.bzimage import require_programs
from fourfold.build.disk.erofs import require_erofs
from fourfold.build.disk.guest import find_compiler
from fourfold.build.host import find_host
from fourfold.build.workspace import find_mode, no_isolation
from fourfold.clock import SystemClock
from fourfold.control.bounds import kept_in
from fourfold.control.routing.routing import certificate
from fourfold.control.settings import load_settings
from fourfold.control.views import CheckView
from fourfold.errors import FourfoldError
from fourfold.gateway import program
from fourfold.gateway.certificates import DAY, SOON, ending, facts
from fourfold.launch.model import Powers
from fourfold.launch.vm import CUT_OFF, UNLOCKED
from fourfold.paths import LONGEST_SOCKET, Paths
from fourfold.store import keyfile, layout
from fourfold.store.db import open_database
from fourfold.store.room import lacking
from fourfold.store.secrets import Secrets
from fourfold.store.tables.apps import Apps
from fourfold.supervise.network.hostnames import UPSTREAM, read_host_names

LOW_DISK_BYTES = 1024**3
LEAST_FILES = 1024
"""What every distribution allows each process."""
POWERS = {
    "users": "each service runs as a user of its own",
    "private": "each instance has its own /tmp, volumes and secrets as files",
    "containers": "services can run as containers",
    "machines": "services can run as virtual machines",
    "shares": "virtual machines can have volumes",
    "apart": "sandboxes of functions can be virtual machines",
    "functions": "services can run as functions",
    "network": "containers, virtual machines and sandboxes have networks of their own",
    "cpu": "CPU limits are enforced",
    "memory": "memory limits are enforced",
    "pids": "limits on processes are enforced",
    "io": "I/O limits are enforced",
}


def examine(paths: Paths, powers: Powers) -> list[CheckView]:
    return [
        _settings(paths),
        _folders(paths),
        _daemon(paths),
        _disk(paths),
        _quotas(paths),
        _descriptors(),
        _store(paths),
        _secrets(paths),
        _haproxy(),
        *_certificates(paths),
        _builds(),
        *_images(powers),
        *_disks(powers),
        *_powers(powers),
        *_names(powers),
        *_runtimes(),
    ]


def _settings(paths: Paths) -> CheckView:
    try:
        load_settings(paths.settings, os.environ)
    except FourfoldError as error:
        return _failed("settings", error)
    there = paths.settings.exists()
    return CheckView(name="settings", state="ok", message=f"{paths.settings}" if there else "defaults and environment")


def _folders(paths: Paths) -> CheckView:
    """Whether the daemon could make and use them; makes none."""
    wrong = list(dict.fromkeys(why for folder in (paths.state, paths.run, paths.config) if (why := _unusable(folder))))
    if len(os.fsencode(paths.socket)) > LONGEST_SOCKET:
        wrong.append(f"{paths.socket} is longer than the {LONGEST_SOCKET} bytes that a socket's path may have")
    if wrong:
        hint = "set FOURFOLD_HOME to a folder of your own, with a short path"
        return CheckView(name="folders", state="failed", message="; ".join(wrong), hint=hint)
    return CheckView(name="folders", state="ok", message=f"{paths.state}, {paths.run}, {paths.config}")


def _unusable(folder: Path) -> str | None:
    there = next(each for each in (folder, *folder.parents) if os.access(each, os.F_OK))
    if not there.is_dir():
        return f"{there} is not a folder"
    if there == folder and there.stat().st_uid != os.geteuid():
        return f"{there} belongs to user {there.stat().st_uid}, and this is user {os.geteuid()}"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written to"


def _daemon(paths: Paths) -> CheckView:
    """By the kernel's list of locks: trying the lock could keep a daemon that starts from taking it."""
    try:
        inode = paths.daemon_lock.stat().st_ino
        pid, at = layout.holder(paths)
    except OSError:
        return CheckView(name="daemon", state="ok", message="none runs here")
    if f":{inode} " not in Path("/proc/locks").read_text():
        return CheckView(name="daemon", state="ok", message="none runs here")
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(at) == 0:
            elsewhere = f", at {at}" if at != str(paths.socket) else ""
            return CheckView(name="daemon", state="ok", message=f"runs, pid {pid}{elsewhere}")
    said = f"pid {pid} holds {paths.daemon_lock} and does not answer at {at}"
    return CheckView(name="daemon", state="failed", message=said, hint=f"see {paths.daemon_log}; end it: kill {pid}")


def _failed(name: str, error: FourfoldError) -> CheckView:
    return CheckView(name=name, state="failed", message=error.what, hint=error.hint)


def _disk(paths: Paths) -> CheckView:
    folder = next(each for each in (paths.state, *paths.state.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < LOW_DISK_BYTES:
        return CheckView(name="disk", state="warning", message=text, hint="fourfold gc removes what is not needed")
    return CheckView(name="disk", state="ok", message=text)


def _quotas(paths: Paths) -> CheckView:
    """What is kept of what could fill the disk, and whether builds are refused."""
    try:
        settings = load_settings(paths.settings, os.environ)
    except FourfoldError:
        return CheckView(name="quotas", state="warning", message="not known: the settings cannot be read")
    try:
        kept = kept_in(paths)
    except OSError as error:
        return CheckView(name="quotas", state="warning", message=f"not known: {error}")
    most = {"artifacts": settings.artifact_bytes, "logs": settings.log_total}
    told = [f"{kind} {_gib(kept[kind])} of {_gib(bound)}" for kind, bound in most.items()]
    text = ", ".join([*told, f"baked files {_gib(kept['baked files'])}"])
    folder = next(each for each in (paths.state, *paths.state.parents) if each.exists())
    if lacking(folder, settings.free_bytes) > 0:
        hint = "fourfold gc; `free_bytes` in fourfold.toml says what stays free"
        return CheckView(
            name="quotas", state="warning", message=f"builds are refused, the disk is full: {text}", hint=hint
        )
    if over := [kind for kind, bound in most.items() if kept[kind] > bound]:
        hint = f"fourfold gc; when all of it is in use, raise the quota in {paths.settings}"
        return CheckView(name="quotas", state="warning", message=f"too much of {', '.join(over)}: {text}", hint=hint)
    return CheckView(name="quotas", state="ok", message=text)


def _descriptors() -> CheckView:
    """By the hard limit, to which the spawner raises its own."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < LEAST_FILES:  # -1: there is none
        message = f"a process may have {most} open only: instances cannot be started, or not many"
        hint = "raise that where the daemon is started (`ulimit -Hn`, LimitNOFILE), then: fourfold daemon restart"
        return CheckView(name="files", state="failed", message=message, hint=hint)
    return CheckView(name="files", state="ok", message=f"a process may have {most if most >= 0 else 'any number'} open")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _store(paths: Paths) -> CheckView:
    if not paths.database.exists():
        return _lost(paths) or CheckView(name="store", state="ok", message=f"not made yet: {paths.database}")
    try:
        with open_database(paths.database) as database:
            wrong = database.check()
    except FourfoldError as error:
        return _failed("store", error)
    if wrong:
        return CheckView(
            name="store", state="failed", message=f"{paths.database}: {wrong[0]}", hint="restore it from a backup"
        )
    return CheckView(name="store", state="ok", message=f"sound: {paths.database}")


def _lost(paths: Paths) -> CheckView | None:
    """A store that was removed while the daemon has it open is there until that ends."""
    copies = []
    with suppress(OSError):  # none runs
        pid, _ = layout.holder(paths)
        for descriptor in sorted(Path(f"/proc/{pid}/fd").iterdir()):
            with suppress(FileNotFoundError):  # closed meanwhile
                place, _, gone = str(descriptor.readlink()).partition(" (")
                if gone and place in (str(paths.database), f"{paths.database}-wal"):
                    copies.append(f"cp {descriptor} {place}")
    if not copies:
        return None
    said = f"{paths.database} was removed under the daemon (pid {pid}), and is lost when that ends"
    return CheckView(
        name="store", state="failed", message=said, hint=f"{'; '.join(copies)}; then: fourfold daemon restart"
    )


def _secrets(paths: Paths) -> CheckView:
    """Whether what is stored can be read with the key that is there."""
    try:
        keyfile.read(paths.secrets_key)
        if paths.database.exists():
            with open_database(paths.database) as database:
                for app, name in database.query("SELECT app, min(name) FROM secrets GROUP BY app"):
                    Secrets(database, paths.secrets_key, SystemClock()).resolve(app, [name])
    except FourfoldError as error:
        return _failed("secrets", error)
    there = f"key {paths.secrets_key}" if paths.secrets_key.exists() else f"no key yet: {paths.secrets_key}"
    return CheckView(name="secrets", state="ok", message=there)


def _certificates(paths: Paths) -> Iterator[CheckView]:
    """Of each app with TLS: how long the one that is served is valid."""
    if not paths.database.exists():
        return
    try:
        with open_database(paths.database) as database:
            apps = [row.name for row in Apps(database).all() if row.gateway.get("tls")]
        for app in apps:
            if (pem := certificate(paths.certificates, app)).exists():
                yield _certificate(app, facts(pem.read_bytes()).ends)
    except (FourfoldError, OSError, ValueError) as error:
        yield CheckView(name="certificates", state="failed", message=str(error))


def _certificate(app: str, ends: float) -> CheckView:
    now = SystemClock().now()
    said = f"that of {app} {ending(ends, now)}"
    if ends - now > SOON * DAY:
        return CheckView(name="certificates", state="ok", message=said)
    hint = f"put a new one where gateway.tls has it, or send it: fourfold certificate renew -a {app}"
    return CheckView(name="certificates", state="warning" if ends > now else "failed", message=said, hint=hint)


def _haproxy() -> CheckView:
    try:
        numbers = asyncio.run(program.version(path := program.find()))
    except FourfoldError as error:
        return _failed("gateway", error)
    return CheckView(name="gateway", state="ok", message=f"HAProxy {'.'.join(map(str, numbers))}: {path}")


def _builds() -> CheckView:
    if find_mode(os.geteuid()) != "none":
        return CheckView(name="builds", state="ok", message="kept apart from this host by bubblewrap")
    why, hint = no_isolation()
    if os.geteuid() == 0:
        message = f"refused unless `unisolated_builds` is set in fourfold.toml: {why}"
        return CheckView(name="builds", state="failed", message=message, hint=hint)
    message = f"not kept apart from this user's files: {why}"
    return CheckView(name="builds", state="warning", message=message, hint=hint)


def _images(powers: Powers) -> Iterator[CheckView]:
    """What containers are made with, where there can be any."""
    if not powers.containers:
        return
    meant = {"mmdebstrap": "bases of containers cannot be made", "skopeo": "images cannot be fetched or pushed"}
    missing = {each: what for each, what in meant.items() if shutil.which(each) is None}
    if missing:
        message = "; ".join(f"{what} ({each} is not installed)" for each, what in missing.items())
        yield CheckView(name="images", state="warning", message=message, hint=f"apt-get install {' '.join(missing)}")
    else:
        yield CheckView(name="images", state="ok", message="made by mmdebstrap, fetched and pushed by skopeo")


def _disks(powers: Powers) -> Iterator[CheckView]:
    """What virtual machines boot, where there can be any."""
    if not powers.machines:
        return
    try:
        require_erofs()
        find_compiler()
        require_programs()
        require_means("what virtual machines boot")
    except FourfoldError as error:
        yield CheckView(name="disks", state="warning", message=error.what, hint=error.hint)
    else:
        yield CheckView(name="disks", state="ok", message="what virtual machines boot can be made")


def _powers(powers: Powers) -> Iterator[CheckView]:
    if powers.machines and not (powers.network or powers.forwarded):
        why = f"they have networks of their own: {powers.missing.get('network', 'this host does not let us')}"
        powers = replace(powers, machines=False, missing={**powers.missing, "machines": why})
    for name, meaning in POWERS.items():
        if getattr(powers, name):
            yield CheckView(name=name, state="ok", message=f"{meaning}{_under(name, powers)}")
        else:
            why = powers.missing.get(name, "this host does not let us")
            # What is to be installed is said already.
            hint = None if "apt-get" in why else "run as root"
            yield CheckView(name=name, state="warning", message=f"not here: {meaning} ({why})", hint=hint)


def _under(name: str, powers: Powers) -> str:
    if name == "containers":
        return f", under {', '.join(powers.runtimes)}"
    if name == "shares":
        return "" if powers.locks else f"; {UNLOCKED}"
    if name != "machines":
        return ""
    without = f" (KVM: {powers.missing['kvm']})" if "kvm" in powers.missing else ""
    under = {None: ", under KVM or TCG: the first one decides", "kvm": ", under KVM", "tcg": f", under TCG{without}"}
    return under[powers.accelerator] + (f"; each {CUT_OFF}" if powers.forwarded else "")


def _names(powers: Powers) -> Iterator[CheckView]:
    """Only where there can be containers that have nobody to ask."""
    if powers.network and not read_host_names().reachable:
        message = "containers cannot resolve names: all resolvers in /etc/resolv.conf listen on this host itself"
        hint = f"have one in {UPSTREAM} or /etc/resolv.conf that other machines reach, with an IPv4 address"
        yield CheckView(name="names", state="warning", message=message, hint=hint)


def _runtimes() -> Iterator[CheckView]:
    found = sorted(find_host(os.environ).runtimes)
    yield CheckView(name="runtimes", state="ok", message=", ".join(found) or "none beyond executables")
