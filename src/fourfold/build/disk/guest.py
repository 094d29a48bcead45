"""The guest's init, compiled on this host: once for each state of its sources and each compiler.

One static program, for it runs before there is any library. musl's compiler makes a small one, which a guest unpacks
and starts sooner; any other that can link statically will do.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import fourfold
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files.disks import Disks
from fourfold.store.files.staging import staging

SOURCES = Path(fourfold.__file__).parent / "guest"
FORMAT = 1
"""Part of its key: raise it when the same sources are to give another program than before."""
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-Os", "-static", "-s", "-Wall", "-Wextra")
_HEADERS = ("/usr/include", "/usr/include/x86_64-linux-gnu")
"""The kernel's: they are beside those of the C library, where musl's own compiler does not look."""
_SECONDS = 120
_HINT = "install one: apt-get install gcc musl-tools"


@dataclass(frozen=True)
class Compiler:
    path: str
    version: str
    flags: tuple[str, ...] = ()

    def compile(self, target: Path, *extra: str) -> None:
        """Raises WorldError with what the compiler says; UserError when the C library for static programs is absent."""
        argv = [self.path, *FLAGS, *self.flags, *extra, "-o", str(target), *(str(path) for path in sources())]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, cwd=target.parent,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorldError(f"cannot compile the guest's init with {self.path}: {error}", _HINT) from error
        if done.returncode == 0:
            return
        said = done.stderr.strip() or f"exit code {done.returncode}"
        if "cannot find -lc" in said or "No such file or directory" in said:
            raise UserError(
                f"cannot compile the guest's init: {self.path} finds no C library to link statically, or no headers",
                "install them: apt-get install libc6-dev linux-libc-dev",
            )
        raise WorldError(f"cannot compile the guest's init with {self.path}: {said[:2000]}", _HINT)


def sources() -> list[Path]:
    return sorted(SOURCES.glob("*.c"))


def find_compiler(names: tuple[str, ...] = ("musl-gcc", "gcc", "cc", "clang")) -> Compiler:
    """The first that is there. Raises UserError where there is none."""
    for name in names:
        if path := shutil.which(name, path="/usr/local/bin:/usr/bin:/bin"):
            done = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode == 0:
                flags = [part for folder in _HEADERS for part in ("-idirafter", folder)] if "musl" in name else ()
                return Compiler(path, done.stdout, tuple(flags))
    raise UserError("cannot make virtual machines: this host has no C compiler for the guest's init", _HINT)


class GuestMaker:
    """Blocking: for threads."""

    def __init__(self, paths: Paths, disks: Disks) -> None:
        self._work = paths.work
        self._disks = disks

    def get(self) -> str:
        """Key in `store.files.disks`, where it is afterwards. Raises UserError and WorldError."""
        compiler = find_compiler()
        key = _key(compiler)
        if self._disks.has(key):
            return key
        with staging(self._work, "guest", "compile the guest's init") as folder:
            compiler.compile(folder / "init")
            self._disks.publish(key, folder / "init", runs=True)
        return key


def _key(compiler: Compiler) -> str:
    digest = sha256(repr(("guest", FORMAT, compiler, FLAGS)).encode())
    for path in (*sources(), *sorted(SOURCES.glob("*.h"))):
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
