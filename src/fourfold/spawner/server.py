"""The spawner's socket: newline-delimited JSON, file descriptors by SCM_RIGHTS in front of the request that uses them.

Requests are {"id", "op", …}, answers {"id", "ok": …} or {"id", "error": {"stage", "errno", "detail"}}. Once a
connection has asked for `exits`, it is told of every later exit as {"event": "exit", …}.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fourfold import __version__
from fourfold.spawner import kernel
from fourfold.spawner.instances import Instances
from fourfold.spawner.journal import Journal
from fourfold.spawner.logs import Logs
from fourfold.spawner.loop import Loop, child_exits
from fourfold.spawner.request import PROTOCOL, Failed, Spawn

_MOST_UNREAD = 32 * 1024 * 1024
_MOST_FDS = 16
_LOOK_AT_FILES = 5.0


class Connection:
    """One client. Reads whole lines, writes without ever blocking."""

    def __init__(self, loop: Loop, sock: socket.socket, on_line: Callable[[Connection, bytes], None]) -> None:
        self.sock = sock
        self.fds: list[int] = []
        self.subscribed = False
        self.closed = False
        self.on_close: Callable[[Connection], None] = lambda connection: None
        self._loop = loop
        self._on_line = on_line
        self.unread = bytearray()
        self._unsent = bytearray()
        sock.setblocking(False)
        loop.watch(sock.fileno(), self._ready)

    @property
    def flushed(self) -> bool:
        return not self._unsent

    def send(self, message: dict[str, Any]) -> None:
        if not self.closed:
            self._unsent += json.dumps(message).encode() + b"\n"
            self._flush()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.unwatch(self.sock.fileno())
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.on_close(self)

    def _ready(self) -> None:
        if self._unsent:
            self._flush()
        try:
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_LEN(_MOST_FDS * 4), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            return self.close()
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.fds += array.array("i", payload[: len(payload) // 4 * 4])
        self.unread += data
        if not data or len(self.unread) > _MOST_UNREAD:
            return self.close()
        *lines, rest = self.unread.split(b"\n") if b"\n" in data else [self.unread]
        self.unread = bytearray(rest)
        for line in lines:
            if not self.closed:
                self._on_line(self, bytes(line))

    def _flush(self) -> None:
        try:
            sent = self.sock.send(self._unsent)
            del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            return self.close()
        if len(self._unsent) > _MOST_UNREAD:
            return self.close()  # it has stopped reading; what it missed stays in the journal
        self._loop.watch_both(self.sock.fileno(), self._ready, writing=bool(self._unsent))


class Server:
    """One per home: holds the lock, listens, and answers."""

    def __init__(self, path: str, journal: str, lock: str, inherited: dict[str, Any] | None) -> None:
        """`inherited`: what a re-executed spawner was handed by its former self. BlockingIOError: another one runs."""
        self._path, self._lock_path = path, lock
        self._loop = Loop()
        self._connections: list[Connection] = []
        self._then: Callable[[], None] | None = None
        """What to do when nothing is starting or ending: re-exec or exit."""
        if inherited is None:
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._listener = _listen(path)
        else:
            self._lock = inherited["lock"]
            self._listener = socket.socket(fileno=inherited["listener"])
        kernel.become_subreaper()
        self._exits = child_exits()
        self._journal = Journal(journal)
        self._logs = Logs()
        self._instances = Instances(self._loop, self._journal, self._logs, self._publish)
        self._loop.watch(self._exits, self._on_children)
        self._loop.watch(self._listener.fileno(), self._accept)
        self._logs_paced = True
        self._look_at_logs()
        self._loop.after(_LOOK_AT_FILES, self._look_at_files)
        self._instances.look_at_memory()
        if inherited is not None:
            self._instances.use_descriptors(tuple(inherited["descriptors"]))
            for fd, subscribed, unread in inherited["connections"]:
                connection = self._connect(socket.socket(fileno=fd))
                connection.subscribed, connection.unread = subscribed, bytearray.fromhex(unread)
        self._instances.adopt()
        self._instances.reap()

    def run(self) -> None:
        while True:
            self._loop.once()
            if not self._logs_paced and self._logs.busy:
                self._look_at_logs()
            if self._then and self._instances.settled and all(client.flushed for client in self._connections):
                self._then()

    # events

    def _on_children(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._exits, 65536)
        self._instances.reap()

    def _look_at_logs(self) -> None:
        """While logs grow they are looked at by the clock; else inotify wakes us."""
        if self._logs_paced is False and self._logs.fd >= 0:
            self._loop.unwatch(self._logs.fd)
        wait = self._logs.work()
        self._logs_paced = wait is not None
        if wait is not None:
            self._loop.after(wait, self._look_at_logs)
        elif self._logs.fd >= 0:
            self._loop.watch(self._logs.fd, self._look_at_logs)

    def _look_at_files(self) -> None:
        """Whoever emptied the folder would else keep the next daemon from us, and the next spawner from what runs."""
        self._loop.after(_LOOK_AT_FILES, self._look_at_files)
        if not os.path.exists(self._lock_path):  # all of it was moved or removed: nothing is begun in its old place
            return
        if not os.path.exists(self._path):
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            self._loop.unwatch(self._listener.fileno())
            self._listener.close()
            self._listener = _listen(self._path)
            self._loop.watch(self._listener.fileno(), self._accept)
        self._journal.keep()

    def _publish(self, event: dict[str, Any]) -> None:
        for connection in list(self._connections):
            if connection.subscribed:
                connection.send(event)

    def _accept(self) -> None:
        with suppress(OSError):
            sock, _ = self._listener.accept()
            uid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            if uid in (0, os.getuid()):
                self._connect(sock)
            else:
                sock.close()

    def _connect(self, sock: socket.socket) -> Connection:
        connection = Connection(self._loop, sock, self._on_line)
        connection.on_close = self._disconnect
        self._connections.append(connection)
        return connection

    def _disconnect(self, connection: Connection) -> None:
        self._connections.remove(connection)
        self._instances.release(connection)

    # requests

    def _on_line(self, connection: Connection, line: bytes) -> None:
        number = None
        try:
            request = json.loads(line)
            number = request.pop("id")
            operation = getattr(self, f"_op_{request.pop('op')}")
            operation(connection, lambda answer: connection.send({"id": number, **answer}), **request)
        except Exception as error:  # a bad request must not end the parent of everything
            connection.send({"id": number, "error": Failed("request", 0, f"{type(error).__name__}: {error}").as_json()})

    def _op_hello(self, connection: Connection, answer: Callable[[dict[str, Any]], None]) -> None:
        answer({"ok": {"protocol": PROTOCOL, "version": __version__, "pid": os.getpid()}})

    def _op_spawn(
        self, connection: Connection, answer: Callable[[dict[str, Any]], None], spawn: dict[str, Any], passed: int = 0
    ) -> None:
        streams, connection.fds = connection.fds[:passed], connection.fds[passed:]
        try:
            if len(streams) != passed or self._then == self._exit_when_empty:
                why = "streams were lost" if len(streams) != passed else "it is ending"
                return answer({"error": Failed("request", 0, why).as_json()})
            self._instances.spawn(Spawn.from_json(spawn), streams, connection, answer)
        finally:
            for fd in streams:
                os.close(fd)

    def _op_signal(
        self, connection: Connection, answer: Callable[[dict[str, Any]], None], instance: str, number: int
    ) -> None:
        answer({"ok": self._instances.signal(instance, number)})

    def _op_kill(self, connection: Connection, answer: Callable[[dict[str, Any]], None], instance: str) -> None:
        answer({"ok": self._instances.kill(instance)})

    def _op_keep(
        self, connection: Connection, answer: Callable[[dict[str, Any]], None], instance: str, log: str, log_bytes: int
    ) -> None:
        """Keep one more log of an instance bounded, until that ends or `drop`: what a guest in it writes."""
        answer({"ok": self._instances.keep(instance, log, log_bytes)})

    def _op_drop(
        self, connection: Connection, answer: Callable[[dict[str, Any]], None], instance: str, log: str
    ) -> None:
        answer({"ok": self._instances.drop(instance, log)})

    def _op_list(self, connection: Connection, answer: Callable[[dict[str, Any]], None]) -> None:
        answer({"ok": self._instances.running()})

    def _op_exits(self, connection: Connection, answer: Callable[[dict[str, Any]], None], after: int) -> None:
        connection.subscribed = True
        answer({"ok": [ended.as_json() for seq, ended in sorted(self._journal.ended.items()) if seq > after]})

    def _op_ack(self, connection: Connection, answer: Callable[[dict[str, Any]], None], seq: int) -> None:
        self._journal.acknowledge(seq)
        answer({"ok": True})

    def _op_reexec(
        self, connection: Connection, answer: Callable[[dict[str, Any]], None], argv: list[str], within: float
    ) -> None:
        """Become another version of the spawner, with the same pid, children, lock and connections.

        Not at all where that cannot be `within` so many seconds: whoever asked for it does not wait any longer.
        """
        answer({"ok": True})
        self._then = then = lambda: self._reexec(argv)
        self._loop.after(within, lambda: self._not_any_more(then))

    def _not_any_more(self, then: Callable[[], None]) -> None:
        if self._then is then:
            self._then = None

    def _op_shutdown(
        self, connection: Connection, answer: Callable[[dict[str, Any]], None], force: bool = False
    ) -> None:
        if len(self._instances) and not force:
            return answer({"error": Failed("busy", 0, f"{len(self._instances)} instances run").as_json()})
        answer({"ok": True})
        self._instances.kill_all()
        self._then = self._exit_when_empty

    def _exit_when_empty(self) -> None:
        if not len(self._instances):
            with suppress(OSError):
                os.unlink(self._path)
            os._exit(0)

    def _reexec(self, argv: list[str]) -> None:
        """The journal knows the instances; a memfd carries what it does not."""
        self._then = None
        state = {
            "lock": self._lock,
            "listener": self._listener.fileno(),
            "connections": [
                (client.sock.fileno(), client.subscribed, client.unread.hex()) for client in self._connections
            ],
            "descriptors": self._instances.descriptors,
        }
        memory = os.memfd_create("spawner", 0)
        os.write(memory, json.dumps(state).encode())
        kept = [self._lock, self._listener.fileno(), *(client.sock.fileno() for client in self._connections)]
        for fd in kept:
            os.set_inheritable(fd, True)
        try:
            os.execv(argv[0], [*argv, "--state", str(memory)])
        except OSError as error:  # the new version cannot be run: stay who we are
            for fd in kept:
                os.set_inheritable(fd, False)
            os.close(memory)
            self._publish({"event": "reexec-failed", "errno": error.errno})


def _listen(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(path)
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")  # a path of any length
    finally:
        os.umask(mask)
        os.close(folder)
    listener.listen(16)
    listener.setblocking(False)
    return listener
