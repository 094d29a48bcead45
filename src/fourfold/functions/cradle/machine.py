"""A sandbox that is a virtual machine: its first process starts QEMU, and tells how the program in the guest ended.

What QEMU opens lies in /tmp, in memory, under the names in its command line; descriptors are numbered as
`launch.qemu.Plugs` has it. The guest is told what it is on a disk that is written when it is to start, so that its seed
and clock are its own and what is secret is on no other disk.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NoReturn

from fourfold.functions import forkserver
from fourfold.functions.cradle import child
from fourfold.functions.cradle.child import Program
from fourfold.functions.cradle.view import MACHINE
from fourfold.functions.model import FULL_CORE, TASK, Config, SandboxMachine
from fourfold.launch import qemu
from fourfold.launch.names import hosts, resolv_conf
from fourfold.launch.template import STATE
from fourfold.spawner.handover import REPORT_BYTES, Reported, ending_told
from fourfold.spawner.plugs import FIRST, move_up
from fourfold.supervise.machines.frames import Kind, frame
from fourfold.supervise.network.hostnames import read_host_names

Become = Callable[[Program, socket.socket, int, Sequence[int]], NoReturn]
"""As `child.be_sandbox`."""
FOLDER = "/tmp"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KVM = "/dev/kvm"
_SEED_BYTES = 64
_EMULATED = "processors are emulated, and each sandbox has a core: in proportion to its memory it would crawl"
_CLOCK_SECONDS = 60.0
"""Between two times at which a guest is told what time it is: its clock is its own. Those that it is frozen count."""
_NOT_FOUND = 127
_NO_COMMAND = ("failed cannot run ", ": No such file or directory")


def memory(config: Config) -> tuple[int, int]:
    """Bytes that a sandbox's control groups bound, and those that its CPU comes with."""
    if config.machine is None:
        return config.memory, config.memory
    return config.machine.memory, max(config.memory, FULL_CORE) if config.machine.is_emulated else config.memory


def missing(config: Config) -> dict[str, str]:
    """As `Sandboxes.missing`."""
    return {"cpu": _EMULATED} if config.machine is not None and config.machine.is_emulated else {}


def starting(config: Config) -> Become:
    """What the first process of a sandbox does. To be called where names resolve as this host resolves them."""
    machine, names = config.machine, read_host_names()
    assert machine is not None
    etc = {
        "/etc/hosts": hosts(config.instance, machine.address, names),
        "/etc/resolv.conf": resolv_conf(names),
    }
    told = tuple(("file", f"{path}:644:0:0:{content}") for path, content in etc.items())
    return partial(be_machine, replace(machine, guest=(*machine.guest, *told)))


def be_machine(
    machine: SandboxMachine, program: Program, channel: socket.socket, output: int, joins: Sequence[int]
) -> NoReturn:
    """First process of a sandbox, as `child.be_sandbox`."""
    try:
        child.arrive(program, channel, output, joins)
        state = [os.open(f"{MACHINE}/{STATE}", os.O_RDONLY)] if machine.template else []  # which is root's
        groups = [os.stat(_KVM).st_gid] if machine.accelerator == "kvm" else []
        child.become_user(program.user, groups)
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(FOLDER)
        for name in os.listdir(MACHINE):
            os.symlink(f"{MACHINE}/{name}", name)
        _Machine(program, machine, channel, output, [move_up(fd) for fd in state]).run()
    except OSError as error:
        forkserver.tell_failure(channel, error)


class _Machine:
    def __init__(
        self, program: Program, machine: SandboxMachine, channel: socket.socket, output: int, state: list[int]
    ) -> None:
        self._program = program
        self._machine = machine
        self._channel = channel
        self._output = move_up(output)
        self._state = state
        self._null = move_up(os.open(os.devnull, os.O_RDWR))

    def run(self) -> NoReturn:
        """Wait for `go`, then run the machine; if it cannot go on from its template, it boots."""
        for fd in range(3):
            os.dup2(self._null, fd)
        listeners = [_listen(name) for name in (qemu.CONTROL, qemu.QMP)]
        kept = self._make_fifos()
        self._channel.send(b"parked")
        if self._channel.recv(16) != b"go":
            os._exit(0)
        self._write_config()
        came_up, status = False, 0
        if self._machine.template:
            came_up, status = self._run(self._machine.go_on, listeners)
            for fd in kept:
                os.close(fd)
        if not came_up:
            if self._machine.template:
                os.write(self._output, b"[fourfold] a sandbox could not go on from its template, and boots\n")
            _, status = self._run(self._machine.boot, listeners)
        if os.WIFSIGNALED(status):
            self._tell(f"{status}")
        forkserver.tell_failure(self._channel, OSError("its virtual machine ended"))

    def _run(self, argv: Sequence[str], listeners: list[int]) -> tuple[bool, int]:
        """-> whether the guest came up, and how QEMU ended, if that is what ended it."""
        reader, pid = self._start(argv, listeners)
        came_up = self._listen_to(reader)
        os.close(reader)
        return came_up, os.waitpid(pid, 0)[1]

    def _listen_to(self, reader: int) -> bool:
        """Until QEMU has ended; the end of the program is told, and the rest does not matter. -> whether it came up."""
        clock: _Clock | None = None
        came_up, unread, size = False, b"", 0
        while size < REPORT_BYTES:
            waiting: list[int | _Clock] = [reader]
            if clock is not None and clock.open:
                waiting.append(clock)
            ready, _, _ = select.select(waiting, [], [], clock.left() if clock is not None else None)
            if clock is not None:
                clock.tick()
            if reader not in ready:
                continue
            if not (data := os.read(reader, 4096)):
                break
            size += len(data)
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                came_up = True
                if told := _status_of(line.decode(errors="replace")):
                    self._tell(told)
                if line == b"started" and clock is None:
                    clock = _Clock()
        return came_up

    def _tell(self, how: str) -> NoReturn:
        """The kernel then ends QEMU too."""
        with suppress(OSError):
            self._channel.send(f"ended {how}".encode())
        os._exit(0)

    def _make_fifos(self) -> list[int]:
        """-> what keeps them from having an end."""
        kept = []
        for name, content in self._machine.fifos.items() if self._machine.template else ():
            os.mkfifo(name, 0o600)
            kept.append(move_up(os.open(name, os.O_RDWR | os.O_NONBLOCK)))
            os.write(kept[-1], content.encode())
        return kept

    def _write_config(self) -> None:
        program, user = self._program, self._program.user
        entries = [
            *self._machine.guest,
            ("time", f"{time.time():.6f}"),
            ("seed", os.urandom(_SEED_BYTES).hex()),
            *(("argv", word) for word in program.argv),
            *(("env", f"{name}={value}") for name, value in program.env.items()),
            ("cwd", TASK),
            ("uid", str(user.uid)),
            ("gid", str(user.gid)),
        ]
        with open(os.open(qemu.CONFIG, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(qemu.configuration(entries).encode(errors="surrogateescape"))

    def _start(self, argv: Sequence[str], listeners: list[int]) -> tuple[int, int]:
        """-> read end of what the guest reports, and the pid."""
        reader, writer = (move_up(fd) for fd in os.pipe())
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                for number, fd in enumerate((self._null, self._output, self._output)):
                    os.dup2(fd, number)
                for number, fd in enumerate((*listeners, writer, *self._state), FIRST):
                    os.dup2(fd, number)
                with open("/proc/self/oom_score_adj", "w") as file:
                    file.write("500")  # rather QEMU than the one that tells what happened
                os.execvpe(argv[0], list(argv), {"PATH": _PATH})
            except OSError as error:
                os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
            finally:
                os._exit(_NOT_FOUND)
        os.close(writer)
        return reader, pid


class _Clock:
    """Sets the guest's: when it has come up, for what it was told is as old as its start, and then now and again.

    A client of the guest's control channel (`guest/README.md`) that takes no word for anything.
    """

    def __init__(self) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._set_at = 0.0
        self.open = True
        try:
            self._connection.connect(qemu.CONTROL)
            self._connection.setblocking(False)
            self._connection.send(frame(Kind.HELLO, 0, os.urandom(16)))
        except OSError:
            self.open = False
        self.tick()

    def fileno(self) -> int:
        return self._connection.fileno()

    def left(self) -> float:
        """Seconds until it is due."""
        return max(0.0, self._set_at + _CLOCK_SECONDS - time.monotonic())

    def tick(self) -> None:
        if self.left() == 0:
            self._set_at = time.monotonic()
            with suppress(OSError):  # it does not listen: it may have what clock it likes
                self._connection.send(frame(Kind.TIME, 1, f"{time.time():.6f}".encode()))
        try:
            self.open = self.open and bool(self._connection.recv(65536))
        except BlockingIOError:
            pass
        except OSError:
            self.open = False


def _listen(name: str) -> int:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(4)
    return move_up(listener.detach())


def _status_of(line: str) -> str:
    """What the cradle is told of how the program ended: a wait status (wait(2)); empty: it has not."""
    if told := ending_told(line):
        return _wait_status(told)
    if line.startswith(_NO_COMMAND[0]) and line.endswith(_NO_COMMAND[1]):
        return str(_NOT_FOUND << 8)
    return ""


def _wait_status(told: Reported) -> str:
    if told.signal is not None:
        return f"{told.signal & 0x7F}{' oom' if told.oom else ''}"
    return str(((told.code or 0) & 0xFF) << 8)
