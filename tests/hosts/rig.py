"""A host program with its folder and its socket, without any daemon, and ways to tell it what a supervisor would.

with Rig(argv, kind="python", env=artifact.env) as rig:
    shop = rig.start("shop", tree, artifact.argv, artifact.env)
    rig.get(shop, "/")
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fourfold.store.files import trees
from fourfold.store.files.artifacts import relocate
from tests.support.ports import free_port
from tests.support.wait import until


class RefusedError(Exception):
    """The host answered with `error`."""


@dataclass(frozen=True)
class Guest:
    name: str
    run: str
    port: int
    tree: Path
    log: Path
    pid: int

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Rig:
    """`argv` and `env` are of the host program, with its tree where it is now (`Artifact.located`)."""

    def __init__(
        self,
        argv: Sequence[str],
        kind: str,
        *,
        mode: str = "mounted",
        preload: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fourfold-host-"))
        (self.folder / "own").mkdir()
        self.output = self.folder.with_suffix(".log")
        told = {"kind": kind, "mode": mode, "folder": str(self.folder), "preload": list(preload)}
        base = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                list(argv),
                env={**base, **(env or {}), "FOURFOLD_HOST": json.dumps(told)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd or self.folder,
            )
        self.events: list[dict[str, Any]] = []
        """All that came, in order."""
        self._answers: dict[int, dict[str, Any]] = {}
        self._came = threading.Condition()
        self._number = 0

    def __enter__(self) -> Self:
        path = self.folder / "own/control.sock"
        until(lambda: self._has_ended() or self._connect(str(path)), 60, "the host's control socket")
        self._require_alive()
        threading.Thread(target=self._read, args=(self._socket,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._socket.close()
        trees.remove(self.folder)
        self.output.unlink()

    def _connect(self, path: str) -> bool:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        return True

    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def _require_alive(self) -> None:
        if self._has_ended():
            raise AssertionError(f"the host has ended ({self.process.returncode}): {self.output.read_text()[-3000:]}")

    def _read(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            try:
                for line in lines:
                    message = json.loads(line)
                    with self._came:
                        if "id" in message:
                            self._answers[message["id"]] = message
                        else:
                            self.events.append(message)
                        self._came.notify_all()
            except OSError:
                pass

    def ask(self, do: str, **given: Any) -> dict[str, Any]:
        """The `ok` of the answer. Raises RefusedError, and AssertionError when there is none within 60 s."""
        with self._came:
            self._number += 1
            number = self._number
        self._socket.sendall(json.dumps({"id": number, "do": do, **given}).encode() + b"\n")
        with self._came:
            if not self._came.wait_for(lambda: number in self._answers, 60):
                raise AssertionError(f"no answer to {do} {given}; the host said: {self.output.read_text()[-3000:]}")
            message = self._answers.pop(number)
        if "error" in message:
            raise RefusedError(message["error"])
        answer = message["ok"]
        assert isinstance(answer, dict)
        return answer

    def start(
        self,
        name: str,
        tree: Path,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        run: str = "1",
        path: str = "/",
        service: str | None = None,
        port: int | None = None,
    ) -> Guest:
        """Put a copy of `tree` where the host finds it, and have it started; `/app` becomes that folder."""
        place = self.folder / name
        if not place.exists():
            shutil.copytree(tree, place, symlinks=True)
        log = self.folder / f"{name}.log"
        log.touch()
        port = port or free_port()
        words = [relocate(word, place) for word in argv]
        variables = {key: relocate(value, place) for key, value in (env or {}).items()}
        answer = self.ask(
            "start",
            guest=name,
            run=run,
            tree=str(place),
            argv=words,
            env={**variables, "HOST": "127.0.0.1", "PORT": str(port)},
            host="127.0.0.1",
            port=port,
            path=path,
            name=service or name,
            log=str(log),
        )
        return Guest(name, run, port, place, log, answer["pid"])

    def stop(self, guest: Guest, grace: float = 60) -> None:
        self.ask("stop", guest=guest.name, run=guest.run, grace=grace)

    def kill(self, guest: Guest) -> None:
        self.ask("kill", guest=guest.name, run=guest.run)

    def forget(self, guest: Guest) -> None:
        self.ask("forget", guest=guest.name, run=guest.run)

    def list(self) -> dict[str, Any]:
        return self.ask("list")

    def usage(self) -> dict[str, Any]:
        return self.ask("usage")

    def wait(self, fits: Callable[[dict[str, Any]], bool], what: str, timeout: float = 60) -> dict[str, Any]:
        """The first event that fits, of those that came and will come."""
        with self._came:
            if not self._came.wait_for(lambda: any(map(fits, self.events)), timeout):
                said = self.output.read_text()[-3000:]
                raise AssertionError(f"waited {timeout} s for {what}; events: {self.events}; the host said: {said}")
            return next(event for event in self.events if fits(event))

    def ended(self, guest: Guest, timeout: float = 60) -> dict[str, Any]:
        return self.wait(lambda event: self._is_end_of(guest, event), f"{guest.name} to end", timeout)

    def _is_end_of(self, guest: Guest, event: dict[str, Any]) -> bool:
        return (event["event"], event["guest"], event.get("run")) == ("ended", guest.name, guest.run)

    def note(self, guest: Guest, kind: str, timeout: float = 60) -> dict[str, Any]:
        key = ("note", guest.name, kind)
        return self.wait(
            lambda e: (e["event"], e["guest"], e.get("kind")) == key, f"the note {kind} of {guest.name}", timeout
        )

    def get(self, guest: Guest, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """One request, on a connection of its own; waits until the guest takes connections."""

        def connected() -> http.client.HTTPConnection | str:
            if self._has_ended() or any(self._is_end_of(guest, event) for event in self.events):
                return "ended"
            connection = http.client.HTTPConnection("127.0.0.1", guest.port, timeout=60)
            connection.connect()
            return connection

        connection = until(connected, 60, f"{guest.name} to take connections")
        self._require_alive()
        if isinstance(connection, str):
            raise AssertionError(f"{self.ended(guest)}; it said: {guest.said[-3000:]}")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return Answer(answer.status, dict(answer.getheaders()), data)

    def refuses(self, guest: Guest) -> bool:
        """Whether it takes no connections."""
        try:
            socket.create_connection(("127.0.0.1", guest.port), timeout=5).close()
        except OSError:
            return True
        return False

    def terminate(self, timeout: float = 60) -> int:
        """TERM, and what the host exits with."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(timeout)
