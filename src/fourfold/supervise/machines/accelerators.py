"""Which virtual machines work here: whether there are any, and under what, found out by starting one.

KVM is decided by a guest whose Linux gets as far as its init: there are hosts where /dev/kvm opens, machines are made
and small programs run in them, and where a Linux never starts.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.launch.common import SYSTEM_PATH
from fourfold.launch.model import Powers
from fourfold.launch.qemu import PROGRAM
from fourfold.store.files.sources import write_atomically

KVM = Path("/dev/kvm")
TUN = Path("/dev/net/tun")
GET_QEMU = "apt-get install qemu-system-x86"
QEMUS_VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
"""The one in C, which QEMU brought until 8.0; its successor in Rust takes other options."""
_VIRTIOFSD = (QEMUS_VIRTIOFSD, "/usr/libexec/virtiofsd")
"""Where Debian has it: with QEMU up to 7.2, then as a package of its own."""
_NAMES = ("machines", "shares", "apart")
"""Powers that are found out here."""
_PATIENCE = 8.0
"""Seconds in which a guest's init must have been started."""
_STARTED = b"Run /init"
"""What a Linux says when it starts its init (init/main.c: run_init_process)."""


def with_machines(powers: Powers) -> Powers:
    """`powers` and whether there can be virtual machines; under what is for `with_accelerator`. Some 0.2 s."""
    forwarded = os.geteuid() != 0
    lacking: dict[str, str | None] = dict.fromkeys(_NAMES, _lacking())
    if lacking["machines"] is None:
        lacking = {"apart": _no_user_network(), "shares": _no_shares(forwarded)}
        if forwarded:
            lacking["machines"] = lacking["apart"] or (None if powers.private else powers.missing.get("private", ""))
    found = {name: why for name, why in lacking.items() if why is not None}
    machines, shares, apart = (name not in found for name in _NAMES)
    locks = shares and virtiofsd() == QEMUS_VIRTIOFSD
    missing = {name: why for name, why in powers.missing.items() if name not in _NAMES} | found
    powers = replace(powers, machines=machines, shares=shares, locks=locks, apart=apart, forwarded=forwarded)
    return replace(powers, ticks=_ticks(), missing=missing)


def with_accelerator(powers: Powers, kernel: Path, initrd: Path, known: Path) -> Powers:
    """`powers` with the accelerator for what boots by these two. What was found out stands in `known` until a reboot.

    Takes up to 8 s where KVM is there and does not work, once.
    """
    if not powers.machines or powers.accelerator is not None:
        return powers
    why = _why_not_kvm(kernel, initrd, known)
    missing = {name: reason for name, reason in powers.missing.items() if name != "kvm"}
    return replace(
        powers, accelerator="tcg" if why else "kvm", missing=missing | ({"kvm": why} if why is not None else {})
    )


def qemu() -> str | None:
    return shutil.which(PROGRAM, path=SYSTEM_PATH)


def virtiofsd() -> str | None:
    """Its own path: Debian 13 has a link at the old one."""
    return next((os.path.realpath(path) for path in _VIRTIOFSD if os.access(path, os.X_OK)), None)


@cache
def help_of(program: str) -> str:
    """What it says of its options; empty where it cannot be run."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run([program, "--help"], capture_output=True, text=True, timeout=10).stdout
    return ""


def _lacking() -> str | None:
    machine = os.uname().machine
    if machine != "x86_64":
        return f"they are made for x86_64 only, and this is {machine}"
    if qemu() is None:
        return f"{PROGRAM} is not installed: {GET_QEMU}"
    if os.geteuid() == 0 and not TUN.exists():
        return f"{TUN} is not there: modprobe tun"
    return None


def _no_shares(forwarded: bool) -> str | None:
    if forwarded:
        return "virtiofsd, which serves them, needs root"
    if virtiofsd() is None:
        return "virtiofsd is not installed: apt-get install virtiofsd, or qemu-system-common before Debian 13"
    return None


def _why_not_kvm(kernel: Path, initrd: Path, known: Path) -> str | None:
    if not os.access(KVM, os.R_OK | os.W_OK):
        return f"{KVM} is not there" if not KVM.exists() else f"{KVM} may not be opened by this user"
    facts = {"boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "qemu": qemu_version()}
    try:
        found = json.loads(known.read_text())
        if found["for"] == facts:
            return str(found["why"]) if found["why"] else None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    why = try_accelerator("kvm", kernel, initrd)
    known.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(known, json.dumps({"for": facts, "why": why}).encode(), 0o600)
    return why


def try_accelerator(name: str, kernel: Path, initrd: Path, patience: float = _PATIENCE) -> str | None:
    """Boot without disks as far as the init. -> None when that came, else why not."""
    processor = "host" if name == "kvm" else "max"
    ticks = f" tsc=reliable no_timer_check tsc_early_khz={_ticks()}" if name == "tcg" else ""
    argv = [
        *(qemu() or PROGRAM, "-M", "microvm", "-accel", name, "-cpu", processor, "-m", "160M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", f"console=ttyS0 panic=-1 pci=off nokaslr{ticks}"),
    ]
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return f"{argv[0]}: {error.strerror}"
    try:
        assert process.stdout is not None
        return _heard(process.stdout.fileno(), patience)
    finally:
        process.kill()
        process.communicate()


def _heard(fd: int, patience: float) -> str | None:
    deadline = time.monotonic() + patience
    said = b""
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(fd, 65536)
        said += piece
        if _STARTED in said:
            return None
        if not piece:
            words = said.decode(errors="replace").strip().splitlines()
            return f"a trial guest ended: {words[-1] if words else 'without a word'}"
    return f"a trial guest did not start within {patience:g} s"


@cache
def qemu_version() -> str:
    """`QEMU emulator version 7.2.22 (Debian …)`. WorldError."""
    try:
        done = subprocess.run([qemu() or PROGRAM, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise WorldError(f"cannot ask QEMU for its version: {error}", GET_QEMU) from error
    return done.stdout.partition("\n")[0]


def _no_user_network() -> str | None:
    """Whether this QEMU has them: a library does it (slirp), which some distributions leave out."""
    argv = [qemu() or PROGRAM, "-netdev", "help"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{PROGRAM} cannot be asked which networks it has: {error}"
    if "user" in done.stdout.split():
        return None
    return f"this {PROGRAM} was made without user networks: {GET_QEMU}"


_MEASURED = 0.2
_READ_COUNTER = bytes.fromhex("0f31 48c1e220 4809d0 c3")
"""rdtsc; shl rdx, 32; or rax, rdx; ret"""


@cache
def _ticks() -> int:
    """kHz of the time stamp counter: measured, for what the kernel found out it tells in its log alone. 0: unknown.

    A guest's clock is wrong by as much as this is: some 10 µs in 0.2 s.
    """
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(_READ_COUNTER)
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    except OSError:  # hosts that allow no such memory (SELinux: execmem)
        return 0
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(address)
    before, first = _together(read)
    time.sleep(_MEASURED)
    after, second = _together(read)
    return round((second - first) / (after - before) * 1_000_000)


def _together(read: Callable[[], int]) -> tuple[int, int]:
    """(ns, ticks) of one moment: of several tries the one that took the least."""
    tries = []
    for _ in range(20):
        began = time.monotonic_ns()
        ticks = read()
        ended = time.monotonic_ns()
        tries.append((ended - began, (began + ended) // 2, ticks))
    _, at, ticks = min(tries)
    return at, ticks
