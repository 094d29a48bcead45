"""The HAProxy program of this machine: where it is, how old, and what it says about a configuration."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import socket
from pathlib import Path

from fourfold.errors import UserError, WorldError
from fourfold.gateway.model import Machine
from fourfold.gateway.render import CONFIG
from fourfold.gateway.spread import service_of

OLDEST = (2, 6)
"""Dynamic servers (`add server`, `del server`) without an experimental switch."""


def find() -> str:
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = shutil.which("haproxy", path=path)
    if found is None:
        raise UserError("cannot run the gateway: HAProxy is not installed", "apt-get install haproxy")
    return found


def machine() -> Machine:
    """What `render` needs to know of this host."""
    threads = max(1, min(len(os.sched_getaffinity(0)), 16))
    return Machine(threads, _user(), _ipv6())


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam("haproxy")
    except KeyError:
        return None
    return "haproxy"


def _ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def version(binary: str) -> tuple[int, ...]:
    """(2, 6, 12); UserError when that is older than OLDEST."""
    _, output = await _run(binary, "-v")
    found = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", output)
    if not found:
        raise WorldError(f"cannot tell the version of {binary}: it says {output.strip()[:200]!r}")
    numbers = tuple(int(part) for part in found.groups() if part)
    if numbers[:2] < OLDEST:
        text = ".".join(map(str, numbers))
        raise UserError(
            f"cannot run the gateway: HAProxy {text} is too old, it must be 2.6 or newer", "apt-get install haproxy"
        )
    return numbers


async def check(binary: str, folder: Path) -> None:
    """`haproxy -c` on the configuration in `folder`; UserError with HAProxy's words about the first thing wrong."""
    code, output = await _run(binary, "-c", "-f", CONFIG, cwd=folder)
    if code:
        raise UserError(f"cannot use this gateway configuration: {explain(output, (folder / CONFIG).read_text())}")


def explain(output: str, text: str) -> str:
    """HAProxy's first complaint, with the listen address or service instead of a line number."""
    alerts = [line for line in output.splitlines() if "[ALERT]" in line]
    complaint = (alerts or output.strip().splitlines() or ["no reason given"])[0]
    words = re.sub(r"^\[ALERT\]\s*\(\d+\) : (config : )?", "", complaint)
    where = re.search(rf"{re.escape(CONFIG)}:(\d+)\]", complaint)
    if where:
        words = re.sub(rf"(config : )?parsing \[[^\]]*{re.escape(CONFIG)}:\d+\] : ", "", words)
        words = f"{_section(text, int(where[1]))}: {words}"
    return words.strip()


def _section(text: str, line: int) -> str:
    for above in reversed(text.splitlines()[:line]):
        kind, _, name = above.partition(" ")
        if kind == "backend":
            return f"service {service_of(name)}"
        if kind == "frontend":
            purpose, _, address = name.partition("-")
            return f"internal address of {service_of(address)}" if purpose == "internal" else f"listen {address}"
        if kind in ("global", "defaults"):
            return kind
    return "configuration"


async def _run(binary: str, *arguments: str, cwd: Path | None = None, timeout: float = 60.0) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            binary,
            *arguments,
            cwd=cwd,
            env={"LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise WorldError(f"cannot run {binary}: {error.strerror}") from None
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise WorldError(f"cannot run {binary} {arguments[0]}: no end after {timeout:g} s") from None
    return process.returncode or 0, output.decode("utf-8", "replace")
