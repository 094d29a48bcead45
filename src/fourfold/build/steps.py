"""Running one build step: its output line by line, bounded in time, output and disk, ended as a whole tree."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fourfold.build.model import Step
from fourfold.build.sandbox import Box, step_argv, step_env
from fourfold.errors import WorldError
from fourfold.spawner.tree import oom_kills
from fourfold.store.files import trees
from fourfold.store.room import lacking

LINE_BYTES = 4096
LOG_LINES = 10_000
TAIL = 20
_CONTROLS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
"""Colours, cursor movements and titles (ECMA-48: CSI, OSC and other escape sequences): tools write them in vain."""
NO_NETWORK = (
    "see what it printed; `build` has no network: name dependencies in requirements.txt, package.json, Gemfile, go.mod "
    "or pom.xml, which are fetched before it"
)
NO_REGISTRY = (
    "can this host reach it? A mirror or proxy is taken from the settings of the daemon's user, and packages may lie "
    "in the source: see docs/builds.md"
)
_UNREACHED = re.compile(
    r"(no such|unknown) host|could not (reach|connect)|name or service not known|failure in name resolution|dns error"
    r"|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|connection (refused|timed out)|network is unreachable|i/o timeout",
    re.IGNORECASE,
)
"""Go, Maven, Bundler, pip and git, uv, npm."""


@dataclass
class Output:
    """What a build prints: passed on up to a bound, the last lines kept for the error."""

    log: Callable[[str], None]
    left: int = LOG_LINES
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    def line(self, text: str) -> None:
        self.tail.append(text)
        self.left -= 1
        if self.left > 0:
            self.log(text)
        elif self.left == 0:
            self.log(f"(more than {LOG_LINES:,} lines: the rest is not shown)")


async def run_step(step: Step, box: Box, output: Output, seconds: float, size: int, free: int = 0) -> None:
    """Run to its end. Raises WorldError when it fails, takes over `seconds`, its tree grows far beyond `size` bytes, or
    its disk fills up: half of what is to stay `free` (see `store.room`) is there for what has begun.

    On cancellation too, nothing of it is left running: bubblewrap dies with its process group, its children with the
    namespace that it is the first process of.
    """
    output.line(f"$ {step}")
    output.tail.clear()
    argv = step_argv(step, box)
    killed_before = oom_kills(box.groups)
    # A pipe of our own: asyncio's `wait` would also wait until nobody holds its pipe any more.
    reading, writing = os.pipe()
    starting = asyncio.ensure_future(_start(argv, step, box, writing))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        os.close(reading)
        process = await starting
        await asyncio.to_thread(_end, process.pid)
        await process.wait()
        raise
    except OSError as error:
        os.close(reading)
        raise WorldError(f"cannot run {argv[0]}: {error.strerror}", "apt install bubblewrap util-linux") from error
    finally:
        os.close(writing)
    reader = asyncio.create_task(_pump(reading, output))
    watcher = asyncio.create_task(_watch_size(step, box, size, free))
    waiter = asyncio.create_task(process.wait())
    try:
        done, _ = await asyncio.wait({waiter, watcher}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if watcher in done:
            raise watcher.result()
        if not done:
            raise WorldError(
                f"cannot build: `{step}` was ended, since the time for the build was up (it had {seconds:.0f} s left)",
                "see the build log for where it stood; commands that wait for input or serve do not belong in `build`",
            )
    finally:
        if process.returncode is None:
            await asyncio.shield(asyncio.to_thread(_end, process.pid))
        watcher.cancel()
        await waiter
        if box.mode == "none":
            _kill_session(process.pid)
        await asyncio.wait({reader}, timeout=5)  # without namespaces, what left its session may still hold the pipe
        reader.cancel()
    if waiter.result() != 0:
        raise _failed(step, waiter.result(), output, oom_kills(box.groups) > killed_before)


async def _start(argv: list[str], step: Step, box: Box, output: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        env=step_env(step, box),
        cwd=box.tree,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


def _end(pid: int) -> None:
    """SIGKILL to a step and to all that it has started.

    It is stopped first, so that nobody is born meanwhile: a child that bubblewrap has just made leaves our session, and
    has not yet asked to die with its parent.
    """
    with suppress(ProcessLookupError, ChildProcessError, psutil.NoSuchProcess):  # it has ended by itself just now
        os.killpg(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        os.killpg(pid, signal.SIGKILL)


def _kill_session(session: int) -> None:
    """Without a process namespace, what a step left in the background is found by its session, and holds our pipe.

    The session's number is not given to others while it has members; a pidfd keeps a pid from being recycled meanwhile.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            handle = os.pidfd_open(int(entry.name))
        except OSError:  # ended meanwhile
            continue
        try:
            if os.getsid(int(entry.name)) == session:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except OSError:
            continue
        finally:
            os.close(handle)


async def _pump(handle: int, output: Output) -> None:
    """Lines as they come, until nobody can write more; longer ones are cut, not kept in memory."""
    stream, pending = asyncio.StreamReader(), b""
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(handle, "rb", buffering=0)
    )
    while chunk := await stream.read(65536):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            output.line(_text(line))
        if len(pending) > 4 * LINE_BYTES:
            pending = pending[: 4 * LINE_BYTES]
    if pending:
        output.line(_text(pending))


def _text(line: bytes) -> str:
    return _CONTROLS.sub("", line[:LINE_BYTES].decode(errors="replace")).rstrip("\r").rpartition("\r")[2]


async def _watch_size(step: Step, box: Box, size: int, free: int) -> WorldError:
    """Returns once the tree, the cache or the home is too large; looks less often the longer looking takes."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        for folder in (box.tree, box.cache, box.files):
            if await asyncio.to_thread(trees.size_of, folder) > 2 * size:
                what = f"cannot build: `{step}` wrote more than {size // 1024**2:,} MiB"
                return WorldError(what, "write less, or clean up in `build`")
        if free and lacking(box.tree, free // 2) > 0:
            what = f"cannot build: `{step}` was ended before its disk was full: No space left on device"
            return WorldError(what, "`fourfold gc` removes what is not needed; see `free_bytes` in fourfold.toml")
        await asyncio.sleep(max(1.0, 20 * (loop.time() - began)))


def _failed(step: Step, code: int, output: Output, out_of_memory: bool) -> WorldError:
    how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
    hint = NO_NETWORK if step.own else "the whole log is in: fourfold events --tail 1000"
    if step.network and any(_UNREACHED.search(line) for line in output.tail):
        hint = NO_REGISTRY
    if out_of_memory:
        how, hint = "ran out of memory", "let it do less at once, or raise `build_memory` in fourfold.toml"
    lines = "\n".join(f"  {line}" for line in output.tail)
    return WorldError(f"cannot build: `{step}` {how}\n{lines}".rstrip(), hint)
