"""A small host for tests, of the protocol in build/hosts/README.md. What a guest does is the first word of its argv."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

Key = tuple[str, int]


class TinyHost:
    def __init__(self, folder: str) -> None:
        self.guests: dict[Key, int] = {}
        self.ended: dict[Key, dict[str, Any]] = {}
        self.children: list[subprocess.Popen[bytes]] = []
        self.clients: list[socket.socket] = []
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        os.umask(0o177)
        os.chdir(f"{folder}/own")  # its path may be too long for a socket
        self.listener.bind("control.sock")
        os.chdir("/")
        self.listener.listen()
        self.selector.register(self.listener, selectors.EVENT_READ)
        reader, writer = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(reader, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.clients.append(self.listener.accept()[0])
                    self.selector.register(self.clients[-1], selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    self.read(key.fileobj)
                else:
                    os.read(key.fd, 4096)
                    self.reap()

    def read(self, client: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = client.recv(1 << 20)
        if not data:
            self.selector.unregister(client)
            self.clients.remove(client)
        for line in data.splitlines():
            request = json.loads(line)
            number, do = request.pop("id"), request.pop("do")
            try:
                answer = {"ok": getattr(self, f"do_{do}")(**request)}
            except LookupError as error:
                answer = {"error": str(error.args[0])}
            self.send(client, data=json.dumps({"id": number, **answer}).encode() + b"\n")

    def say(self, **event: Any) -> None:
        self.send(*self.clients, data=json.dumps(event).encode() + b"\n")

    def send(self, *clients: socket.socket, data: bytes) -> None:
        for client in clients:
            with suppress(OSError):  # it has gone: `read` sees that
                client.sendall(data)

    def reap(self) -> None:
        for key, pid in list(self.guests.items()):
            if pid != os.getpid() and (found := os.waitpid(pid, os.WNOHANG))[0]:
                code = os.waitstatus_to_exitcode(found[1])
                self.end(key, code if code >= 0 else None, -code if code < 0 else None)

    def end(self, key: Key, code: int | None, number: int | None, said: str = "") -> None:
        self.guests.pop(key, None)
        event = {"event": "ended", "guest": key[0], "run": key[1], "code": code, "signal": number, "said": said}
        self.ended[key] = event
        self.say(**event)

    def do_start(
        self, guest: str, run: int, argv: list[str], env: dict[str, str], tree: str, log: str, **_: Any
    ) -> Any:
        key, (word, *rest) = (guest, run), argv
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "hang":
            time.sleep(1000)
        if word == "foreign":
            return {"pid": int(rest[0])}
        if word == "flood":
            self.send(*self.clients, data=b'{"event": "note"}\nnonsense\n[]\n{"id": {}}\n' * 200 + b"x" * 2_000_000)
            raise LookupError("it has talked nonsense")
        if any(name == guest and number != run for name, number in self.guests):
            raise LookupError("another run of it is still there")
        if key not in self.guests:
            with Path(log).open("a") as output:
                print(word, sorted(env.items()), Path(tree, "file").read_text(), file=output, flush=True)
                self.guests[key] = os.getpid()
                if word == "run":
                    child = subprocess.Popen(rest, env=env, cwd=tree, stdout=output, stderr=output)
                    self.children.append(child)  # one that nobody has any more is waited for behind our back
                    self.guests[key] = child.pid
        if word == "fails":
            self.end(key, None, None, "no such application")
        return {"pid": self.guests.get(key, os.getpid())}

    def do_stop(self, guest: str, run: int, number: int = signal.SIGTERM, **_: Any) -> Any:
        if (guest, run) not in self.guests:
            raise LookupError("there is no such guest")
        if self.guests[guest, run] != os.getpid():
            os.kill(self.guests[guest, run], number)
        else:
            self.end((guest, run), 0, None)
            self.say(event="note", guest=guest, kind="leak", said="it has left a thread behind")
        return {}

    def do_kill(self, guest: str, run: int) -> Any:
        return self.do_stop(guest, run, signal.SIGKILL)

    def do_list(self) -> Any:
        guests = [{"guest": name, "run": run, "pid": pid} for (name, run), pid in self.guests.items()]
        return {"kind": "tiny", "pid": os.getpid(), "guests": guests, "ended": list(self.ended.values())}

    def do_forget(self, guest: str, run: int) -> Any:
        self.ended.pop((guest, run), None)
        return {}

    def do_usage(self) -> Any:
        inside = {"cpu_seconds": 1.5, "cpu": "measured", "memory_bytes": None, "memory": "estimated", "busy": 1 << 99}
        mine = [name for (name, _), pid in self.guests.items() if pid == os.getpid()]
        return {"guests": dict.fromkeys(mine, inside), "whole": {"heap_bytes": 5, "heap_most": "x"}}


if __name__ == "__main__":
    TinyHost(json.loads(os.environ["FOURFOLD_HOST"])["folder"]).run()
    sys.exit()
