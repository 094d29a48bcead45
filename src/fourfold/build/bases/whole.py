"""The base `debian` of virtual machines: a whole system of this host's own distribution, with systemd and ssh.

Here the packages' own scripts have run, unlike in bases of containers. What they wrote down of the moment and of this
host is taken away or made fixed, so that the same packages give the same bytes; what must be a machine's own (keys of
ssh, its id) is made when it first boots.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fourfold.build.bases.bases import Bases
from fourfold.build.bases.make import Made, measured, node_wheel, unpack_packages
from fourfold.build.bases.root import add_programs, compile_python, java_links, normalise, run_in
from fourfold.build.bases.systems import Recipe, java_home
from fourfold.store.files import trees

FORMAT = 1
"""Part of every such base's name: raise it when the same packages are to give another root than before."""
VARIANT = "minbase"
_PACKAGES = (
    "systemd-sysv", "libpam-systemd", "dbus", "udev", "kmod", "openssh-server", "iproute2", "iputils-ping", "procps",
    "less",
)  # fmt: skip
_EMPTIED = (
    "boot", "dev", "proc", "run", "sys", "tmp", "var/cache/apt", "var/cache/ldconfig", "var/lib/apt/lists", "var/log",
    "var/tmp",
)  # fmt: skip
_REMOVED = (
    "etc/hostname", "etc/resolv.conf", "etc/.pwd.lock", "etc/group-", "etc/gshadow-", "etc/passwd-", "etc/shadow-",
    "etc/subgid-", "etc/subuid-", "usr/share/doc", "usr/share/info", "usr/share/man", "usr/share/locale",
    "usr/share/lintian", "var/cache/debconf", "var/lib/dbus/machine-id", "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend", "var/lib/dpkg/status-old", "var/lib/systemd/catalog/database",
    "var/lib/systemd/random-seed",
)  # fmt: skip
_MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "getty@.service", "serial-getty@.service", "systemd-firstboot.service", "systemd-networkd.service",
    "systemd-networkd-wait-online.service", "systemd-udev-settle.service",
)  # fmt: skip
"""They wait for, or ask, what a machine of ours does not have."""
_FILES = {
    "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
    "etc/machine-id": "",
    "etc/ssh/sshd_config.d/fourfold.conf": (
        "# Keys come with the service, as a secret: a machine of ours knows no passwords.\n"
        "PasswordAuthentication no\nStrictModes no\n"
        "AuthorizedKeysFile /run/secrets/authorized_keys .ssh/authorized_keys\n"
    ),
    "etc/systemd/system/ssh.service.d/keys.conf": (
        "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n"
    ),
    "etc/fstab": "",
}
_MODES = {"tmp": 0o1777, "var/tmp": 0o1777}
_CHANGED = re.compile(r"^([^:]*:[^:]*:)\d+:", re.MULTILINE)
"""shadow(5): the day of a password's last change."""
_SOME_DAY = "19000"


@dataclass(frozen=True)
class WholeSystem:
    recipe: Recipe
    kernel: Path
    """Folder with its `lib/modules`, which go into the base: a whole system loads what it wants."""
    kernel_digest: str

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.recipe.packages, *_PACKAGES)))

    @property
    def name(self) -> str:
        return f"machine {FORMAT} {self.recipe.name} {self.kernel_digest}"

    @property
    def title(self) -> str:
        return f"machine base {self.recipe.title}"


async def whole_system(
    bases: Bases, wanted: WholeSystem, uv: str | None, log: Callable[[str], None], fresh: str = ""
) -> str:
    """Digest of its layer; made if need be. Raises UserError and WorldError."""

    async def make(work: Path) -> Made:
        root = await unpack_packages(wanted.recipe.system, wanted.packages, work, log, VARIANT)
        wheel = await node_wheel(wanted.recipe, work, uv, log)
        return await measured(root, lambda place: _finish(place, wanted, wheel))

    return (await bases.keep(wanted.name, wanted.title, make, log, fresh)).digest


def _finish(root: Path, wanted: WholeSystem, wheel: Path | None) -> None:
    if wheel is not None:
        add_programs(root, wheel)
    _take_modules(root, wanted.kernel)
    for name in wanted.recipe.runtimes:
        if name.startswith("python"):
            compile_python(root, name)
        if name.startswith("java"):
            java_links(root, java_home(name.removeprefix("java"), wanted.recipe.system))
    _clean(root)
    for name, text in _FILES.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o644)
    for name in _MASKED:
        place = root / "etc/systemd/system" / name
        place.unlink(missing_ok=True)
        place.symlink_to("/dev/null")
    shadow = root / "etc/shadow"
    shadow.write_text(_CHANGED.sub(rf"\g<1>{_SOME_DAY}:", shadow.read_text()))
    (root / "app").mkdir(exist_ok=True)
    normalise(root)


def _take_modules(root: Path, kernel: Path) -> None:
    modules = kernel / "lib/modules"
    trees.copy(modules, root / "usr/lib/modules", link=True)
    for release in modules.iterdir():
        run_in(root, ["/sbin/depmod", release.name])


def _clean(root: Path) -> None:
    for name in _EMPTIED:
        trees.remove(root / name)
        (root / name).mkdir()
        (root / name).chmod(_MODES.get(name, 0o755))
    for name in _REMOVED:
        place = root / name
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.is_dir():
            shutil.rmtree(place)
    for path in (root / "etc/ssh").glob("ssh_host_*"):
        path.unlink()
    (root / "var/cache/debconf").mkdir(parents=True, exist_ok=True)
