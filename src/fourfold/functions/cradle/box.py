"""One sandbox, as the cradle knows it."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

from fourfold.functions.cradle import groups
from fourfold.functions.cradle.protocol import Group

_SO_PASSCRED, _SCM_CREDENTIALS, _CREDENTIALS = 16, 2, "3i"


@dataclass(eq=False)
class Box:
    number: int
    name: str
    channel: socket.socket
    output: int
    """Read end, until it is handed over."""
    group: Group = field(default_factory=Group)
    child: int = 0
    """Pid of a child of ours that it began as; 0: it is the fork server's."""
    pid: int = 0
    """Of its first process; 0 before it is parked."""
    pidfd: int = -1
    listener: socket.socket | None = None
    asked: int | None = None
    """Number of the request that it was started for; None: it is being made, or parked."""
    status: int | None = None
    """How its program ended: its exit code, or minus the signal."""
    oom: bool = False
    """It says that the memory ran out in there: a virtual machine's is its own."""
    ended: bool = False
    killed: bool = False
    """It was asked to be, and the invoker waits for it to be gone."""
    why: str = ""
    """It failed."""

    @property
    def is_made(self) -> bool:
        """Just now."""
        return not self.pid and not self.ended

    @property
    def is_spare(self) -> bool:
        """Or will be."""
        return self.asked is None and not self.ended

    def hear(self) -> tuple[str, int]:
        """-> a message of it and who sent it; empty: it has nothing more to say."""
        try:
            data, ancillary, _, _ = self.channel.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize(_CREDENTIALS)))
        except OSError:
            return "", 0
        pid = next((struct.unpack(_CREDENTIALS, raw)[0] for _, kind, raw in ancillary if kind == _SCM_CREDENTIALS), 0)
        return data.decode(errors="replace"), pid

    def note_ending(self, word: str) -> bool:
        """-> whether it was about that: `ended STATUS`, `ended STATUS oom` or `failed WHY`, for the first time."""
        kind, _, rest = word.partition(" ")
        if kind == "failed" and not self.why:
            self.why = rest
            return True
        rest, _, oom = rest.partition(" ")
        if kind == "ended" and self.status is None and rest.isdecimal() and len(rest) < 6:
            try:
                self.status = os.waitstatus_to_exitcode(int(rest))
            except ValueError:
                return False
            self.oom = oom == "oom"
            return True
        return False

    def tell(self, word: bytes) -> bool:
        try:
            self.channel.send(word)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """All of it: the kernel kills whoever is in the namespace of a first process that has ended."""
        if self.pidfd >= 0:
            with suppress(OSError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            groups.let_die(self.group)
        elif self.child and not self.ended:
            with suppress(OSError):
                os.kill(self.child, signal.SIGKILL)
        self.channel.close()

    def close(self) -> None:
        self.channel.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        self.let_go()

    def let_go(self) -> None:
        """What the invoker has got."""
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
        if self.listener is not None:
            self.listener.close()
            self.listener = None


def listen_with_credentials(channel: socket.socket) -> None:
    channel.setsockopt(socket.SOL_SOCKET, _SO_PASSCRED, 1)
