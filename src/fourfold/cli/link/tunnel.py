"""The socket of a daemon on another machine, brought here by ssh: one ssh for all requests of a command.

`fourfold daemon connect` there says where its socket is, and lives as long as we do. OpenSSH carries each connection to
our socket over there, as a channel of the one connection that it has (`-L`, and `-O forward` for what is known only
once it stands: ssh(1)). It asks for passwords and unknown hosts on the terminal, as always.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from fourfold.cli.link.endpoint import Endpoint
from fourfold.cli.link.target import Target
from fourfold.errors import UserError, WorldError

MARK = "fourfold-socket: "
"""Begins the line in which the other side says where its socket is; what shells print at a login has no such line."""
OPTIONS = (
    "ControlMaster=yes", "ControlPersist=no", "ExitOnForwardFailure=yes", "ConnectTimeout=10", "ServerAliveInterval=15",
    "StreamLocalBindMask=0177", "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=no", "RemoteCommand=none",
)  # fmt: skip
LAST_WORDS = 5
NOT_FOUND = 127
"""Exit code of a shell for a command that is not there."""


class Tunnel:
    """Raises UserError or WorldError with the words of ssh. `close` ends it; so does our end, however it comes."""

    def __init__(self, target: Target, start: bool, program: str = "fourfold") -> None:
        """`start`: a daemon that does not run there is started; `program`: how it is called there."""
        if shutil.which("ssh") is None:
            raise UserError(f"cannot reach {target.text}: there is no ssh here", "install the OpenSSH client")
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix="ff-", dir=_short()))
        self._errors = self._folder / "errors"
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._open(start, program)
        except BaseException:
            self.close()
            raise

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self._target.text, socket=self._folder / "s", remote=True, words=self.words, gone=self.gone)

    def gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def words(self) -> str:
        """What ssh said last."""
        with suppress(OSError):
            lines = [line.strip() for line in self._errors.read_text(errors="replace").splitlines()]
            return "; ".join([line for line in lines if line][-LAST_WORDS:])
        return ""

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
            process.terminate()  # it would wait for connections that are kept for a next request
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self, start: bool, program: str) -> None:
        path = self._target.path
        if path:
            remote = f"echo {shlex.quote(MARK + path)}; exec cat >/dev/null"
            forward = ["-L", f"{self._folder / 's'}:{path}"]
        else:
            remote = f"exec {shlex.quote(program)} daemon connect{' --start' if start else ''}"
            forward = []
        options = [word for option in OPTIONS for word in ("-o", option)]
        ssh = ["ssh", "-T", *options, "-S", str(self._folder / "c"), *forward, *self._where(), remote]
        with self._errors.open("wb") as errors:
            # Ctrl-C is for us, or for the program of `exec`: ssh leaves a signal ignored that was so when it started.
            self._process = subprocess.Popen(
                ["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh", *ssh],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        told = self._told(program)
        if not forward:
            self._forward(told)

    def _told(self, program: str) -> str:
        """Wait until the other side says where its socket is."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        for line in process.stdout:
            if (text := line.decode(errors="replace")).startswith(MARK):
                return text.removeprefix(MARK).strip()
        code = process.wait()
        words = self.words() or f"ssh ended with exit code {code}"
        hint = "see whether `ssh` alone comes in there"
        if (said := words.partition("error: ")[2]) and code in (1, 2):  # of `fourfold daemon connect`
            words, _, there = said.partition("; hint: ")
            hint = f"there: {there}" if there else hint
        if code == NOT_FOUND:
            hint = (
                f"{program} is not where ssh looks there: say where (FOURFOLD_REMOTE=/opt/fourfold/bin/fourfold), "
                f"or name the daemon's socket ({self._target.text}/run/fourfold/fourfold.sock)"
            )
        raise WorldError(f"cannot reach {self._target.text}: {words}", hint)

    def _forward(self, path: str) -> None:
        if not path.startswith("/") or ":" in path:
            raise WorldError(f"cannot reach {self._target.text}: its socket is {path!r}, which ssh cannot carry")
        asked = ["ssh", "-S", str(self._folder / "c"), "-O", "forward", "-L", f"{self._folder / 's'}:{path}"]
        done = subprocess.run([*asked, *self._where()], capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise WorldError(
                f"cannot reach {self._target.text}: ssh does not forward its socket: {said}",
                "sshd there has to allow it: AllowStreamLocalForwarding in sshd_config(5)",
            )

    def _where(self) -> list[str]:
        port = ["-p", str(self._target.port)] if self._target.port else []
        user = f"{self._target.user}@" if self._target.user else ""
        return [*port, "--", f"{user}{self._target.host}"]


def _short() -> str:
    """A socket's path must be short, and ssh makes its name longer by 17 characters for a moment."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) < 60 else "/tmp"
