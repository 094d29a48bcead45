"""What this host has: interpreters and build tools that the services' users may execute."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from fourfold.build.model import Host, Runtime

_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")
_GO = ("/usr/local/go/bin", "/usr/lib/go/bin")
_JVM = "/usr/lib/jvm"
_JARS = "/usr/share/java"
_MIGRATION = "/usr/share/tomcat-jakartaee-migration/lib"
_LIBRARIES = {
    "equinox": (_JARS, "eclipse-osgi.jar"),
    "felix": (_JARS, "org.apache.felix.framework.jar"),
    "tomcat10": (_JARS, "tomcat10-catalina.jar"),
    "ecj": (_JARS, "eclipse-jdt-core-compiler-batch.jar", "eclipse-jdt-core.jar"),
    "jakartaee-migration": (_MIGRATION, "jakartaee-migration-*.jar"),
}
"""OSGi frameworks, Tomcat with its compiler and its converter, where Debian puts them: each by one of its JARs, the
first of those named that is there (with Debian 13 the compiler has left `eclipse-jdt-core.jar`)."""
_TOOLS = ("npm", "yarn", "pnpm", "bun", "mvn", "bundle", "javac", "ruby", "bwrap", "setpriv", "prlimit")


def find_host(environ: Mapping[str, str]) -> Host:
    """Look around. Takes some tens of milliseconds (Node and Go must be asked for their versions): keep the answer for
    as long as `stamp` stays the same."""
    usable.cache_clear()
    folders = [Path(folder) for folder in _folders(environ)]
    runtimes: dict[str, Runtime] = {}
    for runtime in (*_pythons(folders), *_rubies(folders), *_javas(), *_asked(folders)):
        runtimes.setdefault(runtime.name, runtime)
    tools = {name: path for name in _TOOLS if (path := _which(name, folders))}
    tools |= {name: path for name, place in _LIBRARIES.items() if (path := _library(*place))}
    if uv := _uv(folders):
        tools["uv"] = uv
    libc = " ".join(platform.libc_ver()) or "unknown libc"
    return Host(
        runtimes=runtimes, defaults=_defaults(runtimes, folders), tools=tools, abi=f"{platform.machine()} {libc}"
    )


def stamp(environ: Mapping[str, str]) -> tuple[int, ...]:
    """Another one once something was installed, upgraded or removed: the times of all folders that are looked into."""
    folders = (*_folders(environ), *_GO, _JVM, _JARS, _MIGRATION, os.path.dirname(sys.executable))  # noqa: PTH120
    return tuple(map(_changed, folders))


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def _defaults(runtimes: Mapping[str, Runtime], folders: list[Path]) -> dict[str, str]:
    defaults: dict[str, str] = {}
    for language, program in (("python", "python3"), ("ruby", "ruby"), ("java", "java")):
        real = Path(_which(program, folders) or "/nonexistent").resolve()
        for name, runtime in runtimes.items():
            if Path(runtime.path).resolve() == real:
                defaults[language] = name
    return defaults


def _folders(environ: Mapping[str, str]) -> list[str]:
    """Each once: today's /bin is /usr/bin, and what is in there need not be asked twice."""
    folders = [*_SYSTEM]
    if os.geteuid() != 0:  # without root, services run as this user, who can execute what is on its PATH
        folders += [folder for folder in environ.get("PATH", "").split(":") if folder.startswith("/")]
    found: dict[str, str] = {}
    for folder in folders:
        found.setdefault(os.path.realpath(folder), folder)
    return list(found.values())


def _which(name: str, folders: list[Path]) -> str | None:
    return next((str(folder / name) for folder in folders if usable(folder / name)), None)


@lru_cache(maxsize=1024)
def usable(path: Path) -> bool:
    """Executable by this user, or, for root, by everyone: services run under other users."""
    try:
        real = path.resolve(strict=True)
        if "shims" in path.parts or not os.access(real, os.X_OK):
            return False
        return os.geteuid() != 0 or all(part.stat().st_mode & 0o001 for part in (real, *real.parents))
    except OSError:
        return False


def _pythons(folders: list[Path]) -> Iterator[Runtime]:
    yield from _versioned(folders, re.compile(r"python(3\.\d+)"), "python")


def _rubies(folders: list[Path]) -> Iterator[Runtime]:
    yield from _versioned(folders, re.compile(r"ruby(\d+\.\d+)"), "ruby")


def _versioned(folders: list[Path], pattern: re.Pattern[str], name: str) -> Iterator[Runtime]:
    """Interpreters whose file name tells their version, as Debian's do."""
    for folder in folders:
        try:
            there = sorted(folder.iterdir())
        except OSError:  # a PATH may name what is not there, or somebody else's
            continue
        for path in there:
            if (match := pattern.fullmatch(path.name)) and usable(path):
                yield Runtime(f"{name}{match[1]}", str(path), match[1])


def _library(folder: str, *names: str) -> str | None:
    """The file itself, whose name has the version, where there is a link to it."""
    for name in names:
        if found := sorted(path for path in Path(folder).glob(name) if path.is_file()):
            return str(found[-1].resolve())
    return None


def _javas() -> Iterator[Runtime]:
    """JDKs and JREs in /usr/lib/jvm; each has a `release` file with JAVA_VERSION="17.0.9"."""
    homes = Path(_JVM)
    for home in sorted(homes.iterdir()) if homes.is_dir() else ():
        program = home / "bin/java"
        if home.is_symlink() or not usable(program):
            continue
        try:
            text = (home / "release").read_text(errors="replace")
        except OSError:
            continue
        if match := re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)([^"]*)"', text, re.MULTILINE):
            yield Runtime(f"java{match[1]}", str(program), match[1] + match[2])


def _asked(folders: list[Path]) -> Iterator[Runtime]:
    for folder in folders:
        if usable(folder / "node") and (match := _ask([str(folder / "node"), "--version"], r"v(\d+)(\.[\d.]+)")):
            yield Runtime(f"nodejs{match[1]}", str(folder / "node"), match[1] + match[2])
    go = _which("go", [*folders, *map(Path, _GO)])
    if go and (match := _ask([go, "version"], r"go(\d+\.[\d.]+)")):
        yield Runtime("go", go, match[1])


def _ask(argv: list[str], pattern: str) -> re.Match[str] | None:
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return re.search(pattern, answer)


def _uv(folders: list[Path]) -> str | None:
    """The uv that came with Fourfold (a dependency), else one of the system; sandboxes get it bound in."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else _which("uv", folders) or shutil.which("uv")
