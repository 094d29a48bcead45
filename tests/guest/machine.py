"""Guests for tests: a machine of QEMU's whose root is a few programs of this host."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from tests.support.wait import until

PATIENCE = 120.0
QEMU = "qemu-system-x86_64"
SIZE = 65536
"""Of the disk with the configuration."""
Pairs = Sequence[tuple[str, str]]
_MEBIBYTES = 128
_IGNORE_SHARED: dict[str, Any] = {
    "execute": "migrate-set-capabilities",
    "arguments": {"capabilities": [{"capability": "x-ignore-shared", "state": True}]},
}
"""What is saved is all but the memory, which is a file."""

_PARAMETERS = (
    "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check cryptomgr.notests "
    "8250.nr_uarts=1 rcupdate.rcu_expedited=1 random.trust_cpu=on pci=off"
)


def configuration(pairs: Pairs) -> bytes:
    body = b"".join(f"{key}={value}\0".encode() for key, value in pairs)
    return (b"FOURFOLD GUEST 1 %010d\n" % len(body) + body).ljust(SIZE, b"\0")


def shell(script: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The configuration of a guest whose service is a script."""
    return [("argv", "/bin/sh"), ("argv", "-c"), ("argv", script), ("uid", "1000"), ("gid", "1000"), *more]


class Machine:
    def __init__(self, folder: Path, parts: Path) -> None:
        self.folder = folder
        self._parts = parts
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("report", "output", "console"):
            (folder / name).touch()

    @property
    def report(self) -> list[str]:
        return (self.folder / "report").read_text().split("\n")[:-1]

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    @property
    def console(self) -> str:
        return (self.folder / "console").read_text(errors="replace")

    @property
    def control(self) -> Path:
        return self.folder / "control"

    def configure(self, pairs: Pairs | None) -> None:
        (self.folder / "config").write_bytes(configuration(pairs) if pairs is not None else bytes(SIZE))

    def start(self, template: bool = False) -> None:
        """`template`: so that it can be saved."""
        self._run(*(_memory(self.folder, "on") if template else ()))

    def save(self) -> None:
        """To its folder, for others to go on from; it is gone then."""
        self.command(_IGNORE_SHARED, {"execute": "migrate", "arguments": {"uri": f"exec:cat >{self.folder}/state"}})
        until(lambda: self.query("query-migrate")["status"] == "completed", PATIENCE)
        self.command({"execute": "quit"})
        self.ended()

    def go_on(self, saved: Path) -> None:
        """As the machine that was saved in that folder, with the disks that are there now."""
        for name in ("report", "output", "console"):
            (self.folder / name).write_bytes(b"")
        self._run(*_memory(saved, "off"), "-incoming", "defer")
        until(self._listens, PATIENCE)
        self.command(_IGNORE_SHARED, {"execute": "migrate-incoming", "arguments": {"uri": f"exec:cat {saved}/state"}})

    def _listens(self) -> bool:
        """Its socket is there a moment before that."""
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self.folder / "qmp")) == 0

    def _run(self, *extra: str) -> None:
        assert self.process is None or self.process.poll() is not None
        self.process = subprocess.Popen(
            [*self._argv(), *extra], stdin=subprocess.DEVNULL, stderr=(self.folder / "qemu").open("wb")
        )

    def until(self, line: str) -> None:
        """Until the guest has reported it."""

        def reported() -> bool:
            assert line in self.report or self.process is None or self.process.poll() is None
            return line in self.report

        try:
            until(reported, PATIENCE, line)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.report}\n{self.console}{(self.folder / 'qemu').read_text()}"
            ) from None

    def ended(self) -> list[str]:
        """Its report, once it has powered down."""
        assert self.process is not None
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end\n{self.report}\n{self.console}") from None
        return self.report

    def command(self, *commands: dict[str, Any]) -> list[Any]:
        """To QEMU itself. -> its answers."""
        answers = []
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.folder / "qmp"))
            with sock.makefile("rw") as stream:
                stream.readline()
                for command in ({"execute": "qmp_capabilities"}, *commands):
                    stream.write(json.dumps(command) + "\n")
                    stream.flush()
                    while not {"return", "error"} & (answer := json.loads(stream.readline())).keys():
                        pass
                    assert "return" in answer, answer
                    answers.append(answer["return"])
        return answers[1:]

    def query(self, what: str) -> Any:
        return self.command({"execute": what})[0]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _argv(self) -> list[str]:
        return [
            QEMU, "-M", "microvm", "-accel", "tcg", "-cpu", "max", "-m", str(_MEBIBYTES), "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-serial", f"file:{self.folder / 'console'}",
            "-kernel", str(self._parts / "vmlinux"), "-initrd", str(self._parts / "initial"), "-append", _parameters(),
            *self._disk("fourfold-0", self._parts / "root.erofs"),
            *self._disk("fourfold-config", self.folder / "config"),
            "-device", "virtio-serial-device",
            *self._port("report", f"file,path={self.folder / 'report'}"),
            *self._port("output", f"file,path={self.folder / 'output'}"),
            *self._port("control", f"socket,path={self.folder / 'control'},server=on,wait=off"),
            "-chardev", f"socket,id=qmp,path={self.folder / 'qmp'},server=on,wait=off",
            "-mon", "chardev=qmp,mode=control",
            "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-device,netdev=net",
        ]  # fmt: skip

    def _disk(self, serial: str, path: Path) -> list[str]:
        return [
            "-drive", f"id={serial},if=none,format=raw,file={path},readonly=on",
            "-device", f"virtio-blk-device,drive={serial},serial={serial}",
        ]  # fmt: skip

    def _port(self, name: str, chardev: str) -> list[str]:
        kind, _, rest = chardev.partition(",")
        return [
            "-chardev",
            f"{kind},id={name},{rest}",
            "-device",
            f"virtserialport,chardev={name},name=fourfold.{name}",
        ]


class Guests:
    """Machines of the same parts, in folders of their own."""

    def __init__(self, parts: Path) -> None:
        self._parts = parts
        self._kept = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    @contextmanager
    def made(self, pairs: Pairs | None) -> Iterator[Machine]:
        """One with this configuration (None: zeros), gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="ff-guest-"))
        it = Machine(folder, self._parts)
        try:
            it.configure(pairs)
            yield it
        finally:
            it.kill()
            shutil.rmtree(folder)

    @contextmanager
    def booted(self, pairs: Pairs) -> Iterator[Machine]:
        with self.made(pairs) as it:
            it.start()
            yield it

    @contextmanager
    def clone(self, pairs: Pairs) -> Iterator[Machine]:
        """One that has booted as the template of all has, which takes less time than to boot."""
        with self.made(pairs) as it:
            it.go_on(self._template)
            yield it

    @contextmanager
    def template(self, pairs: Pairs | None) -> Iterator[Machine]:
        """One that waits for its configuration, saved: others `go_on` from its folder."""
        with self.made(pairs) as it:
            it.start(template=True)
            it.until("waiting")
            it.save()
            assert it.report == ["booted", "waiting"]
            yield it

    @cached_property
    def _template(self) -> Path:
        return self._kept.enter_context(self.template(None)).folder


def _memory(folder: Path, share: str) -> list[str]:
    memory = f"memory-backend-file,id=ram,size={_MEBIBYTES}M,mem-path={folder / 'ram'},share={share}"
    return ["-object", memory, "-machine", "memory-backend=ram"]


@lru_cache
def _parameters() -> str:
    cpus = re.search(r"^cpu MHz\s*:\s*(\S+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return _PARAMETERS + (f" tsc_early_khz={int(float(cpus[1]) * 1000)}" if cpus else "")
