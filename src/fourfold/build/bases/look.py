"""What a root has: the folders that a build is shown of it, and the runtimes that are found by asking its programs."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fourfold.build.model import Host, Runtime, Step
from fourfold.build.oci.rootfs import OPAQUE_XATTR
from fourfold.build.sandbox import HOST, Box, Root, step_argv, step_env
from fourfold.errors import WorldError

_INTERPRETER = re.compile(rb"/lib[\w./+-]*/ld[\w.+-]+")
_SECONDS = 60.0
_MOST_BYTES = 64 * 1024
_FOLDERS = "/usr/local/bin /usr/bin /bin /usr/local/go/bin /opt/java/openjdk/bin"
_LOOK = f"""
for folder in {_FOLDERS}; do
  for path in $folder/python3.[0-9] $folder/python3.[0-9][0-9] $folder/ruby $folder/node $folder/java $folder/go; do
    [ -x "$path" ] || continue
    case $path in */java) flag=-version ;; */go) flag=version ;; *) flag=--version ;; esac
    echo "runtime $path $("$path" $flag 2>&1 | head -n 1)"
  done
  for path in $folder/npm $folder/bundle $folder/mvn $folder/javac $folder/yarn $folder/pnpm $folder/bun; do
    [ -x "$path" ] && echo "tool $path"
  done
  [ -x $folder/python3 ] && echo "default $($folder/python3 --version 2>&1)"
done
exit 0
"""
_VERSIONS = {
    "python": r"Python (3\.\d+)",
    "ruby": r"ruby (\d+\.\d+)",
    "nodejs": r"v(\d+)([\d.]*)",
    "java": r'version "(?:1\.)?(\d+)([^"]*)"',
    "go": r"go version go(\d+\.[\d.]+)",
}


def root_of(layers: Sequence[Path], mount: Path, links: Path) -> Root:
    """`layers`: unpacked, lowest first. For more than one: `mount`, an empty folder, and `links`, which is made."""
    single = len(layers) == 1
    if not single:
        links.mkdir()
        for number, layer in enumerate(layers):
            (links / str(number)).symlink_to(layer)
    return Root(
        layers=tuple(map(str, layers)),
        mount=str(layers[0] if single else mount),
        entries=_entries(layers),
        loader=_loader(),
        links=str(links),
    )


def _entries(layers: Sequence[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for layer in layers:
        etc = layer / "etc"
        own = etc.is_dir() and not etc.is_symlink()  # a link may lead to the host's
        if os.path.lexists(etc) and (not own or OPAQUE_XATTR in os.listxattr(etc)):
            found = {name: target for name, target in found.items() if not name.startswith("etc/")}
        for folder in ("", "etc/") if own else ("",):
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(layer / folder) as listed:
                for entry in listed:
                    name, status = f"{folder}{entry.name}", entry.stat(follow_symlinks=False)
                    if stat.S_ISCHR(status.st_mode):  # a whiteout: gone from here on
                        found.pop(name, None)
                    else:
                        found[name] = os.readlink(entry.path) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115
    return found


def _loader() -> tuple[str, ...]:
    """The host's dynamic loader, as a root's build sees it: ld.so(8), `--library-path`."""
    with Path("/usr/bin/setpriv").open("rb") as program:
        match = _INTERPRETER.search(program.read(4096))
    if match is None:
        return ()
    real = Path(os.fsdecode(match[0])).resolve()
    return (f"{HOST}{real}", "--library-path", f"{HOST}{real.parent}")


async def look(box: Box, name: str, host: Host) -> Host:
    """What the image `name`, which is `box.root`, has. Raises WorldError when it has no shell, or does not answer."""
    step = Step(("/bin/sh", "-c", _LOOK))
    process = await asyncio.create_subprocess_exec(
        *step_argv(step, box),
        env=step_env(step, box),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_SECONDS):
            output = await _all_of(process.stdout, name)
            await process.wait()
    except TimeoutError:
        what = f"cannot look into the image {name}: its programs did not answer within {_SECONDS:.0f} s"
        raise WorldError(what, "choose another base") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            while await process.stdout.read(_MOST_BYTES):  # asyncio waits until nothing more can be read
                pass
            await process.wait()
    if process.returncode != 0:
        said = output.decode(errors="replace").strip().rpartition("\n")[2]
        raise WorldError(
            f"cannot look into the image {name}: {said}", "a base needs a shell to build in: choose a larger one"
        )
    runtimes, defaults, tools = read_look(output.decode(errors="replace"))
    tools |= {name: path for name, path in host.tools.items() if name == "uv"}
    return replace(host, runtimes=runtimes, defaults=defaults, tools=tools, place=f"the image {name}")


async def _all_of(stream: asyncio.StreamReader, name: str) -> bytes:
    content = b""
    while piece := await stream.read(_MOST_BYTES):
        content += piece
        if len(content) > _MOST_BYTES:
            what = f"cannot look into the image {name}: its programs say more than their versions"
            raise WorldError(what, "choose another base")
    return content


def read_look(output: str) -> tuple[dict[str, Runtime], dict[str, str], dict[str, str]]:
    """Runtimes, defaults and tools, as in `Host`. Pure."""
    runtimes: dict[str, Runtime] = {}
    defaults: dict[str, str] = {}
    tools: dict[str, str] = {}
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        path, _, said = rest.partition(" ")
        if kind == "tool":
            tools.setdefault(path.rpartition("/")[2], path)
        elif kind == "default" and (match := re.search(_VERSIONS["python"], rest)):
            defaults.setdefault("python", f"python{match[1]}")
        elif kind == "runtime" and (runtime := _runtime(path, said)):
            runtimes.setdefault(runtime.name, runtime)
    return runtimes, defaults, tools


def _runtime(path: str, said: str) -> Runtime | None:
    program = path.rpartition("/")[2]
    language = "python" if program.startswith("python") else {"node": "nodejs"}.get(program, program)
    match = re.search(_VERSIONS[language], said)
    if match is None:
        return None
    name = language if language == "go" else language + match[1]
    return Runtime(name, path, "".join(part or "" for part in match.groups()))
