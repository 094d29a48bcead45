"""Those who start programs and keep them running: Fourfold, its peers, and a bare loop. Each in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from tests.support.wait import until

from bench.machine import ENV, ROOT, command_line, end, free_ports, processes_of, with_descendants

PEERS = ROOT / ".venv" / "peers"
FOURFOLD = str(ROOT / ".venv" / "bin" / "fourfold")


@dataclass(frozen=True)
class Program:
    """`argv` listens on 127.0.0.1:port, which it finds in its arguments or in $PORT; `files` is its folder."""

    name: str
    port: int
    argv: tuple[str, ...]
    files: Path


class Contender(Protocol):
    name: str

    def prepare(self) -> None:
        """Start its own daemon, if it has one, as on a machine that has been up for a while."""
        ...

    def start(self, programs: Sequence[Program]) -> None:
        """Return as soon as the command to start them all has been given."""
        ...

    def stop(self) -> None: ...


class Bare:
    """Popen in a loop; nobody looks after them."""

    name = "bare loop"

    def __init__(self, folder: Path) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> None:
        pass

    def start(self, programs: Sequence[Program]) -> None:
        for program in programs:
            self._running.append(
                subprocess.Popen(
                    program.argv,
                    cwd=program.files,
                    env={**ENV, "PORT": str(program.port), "HOST": "127.0.0.1"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()
        self._running.clear()


class Fourfold:
    """`fourfold up` with no daemon running."""

    name = "fourfold"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gateway = free_ports(1, start=15000)[0]
        self._home = folder / "home"
        self.env = {**os.environ, "FOURFOLD_HOME": str(self._home), "NO_COLOR": "1"}
        self._up: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        self._make_folder()
        with (self.folder / "daemon.log").open("wb") as log:
            self._daemon = subprocess.Popen([FOURFOLD, "daemon"], env=self.env, stdout=log, stderr=log)
        until(lambda: self.command("daemon", "status").returncode == 0, what="the daemon to answer")

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)

    def start(self, programs: Sequence[Program]) -> None:
        self._make_folder()
        services = {program.name: self._service(program) for program in programs}
        self.start_file({"app": "bench", "services": services})

    def start_file(self, content: dict[str, object]) -> None:
        content = {"gateway": {"listen": f"127.0.0.1:{self.gateway}"}, **content}
        file = self.folder / "fourfold.yaml"
        file.write_text(json.dumps(content))  # JSON is YAML too
        self._up = self.start_command("up", "-q", "-f", str(file))

    def start_command(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([FOURFOLD, *arguments], env=self.env, stdin=subprocess.DEVNULL)

    def api(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self._home / "run" / "fourfold.sock"), verify=False)
        return httpx.Client(transport=transport, base_url="http://fourfold", timeout=60)

    def wait(self) -> None:
        """For `up` to end well."""
        assert self._up is not None
        if (code := self._up.wait(timeout=300)) != 0:
            raise RuntimeError(f"`fourfold up` ended with exit code {code}; see {self._home}/state/daemon.log")

    def status(self) -> dict[str, object]:
        answer = self.command("status", "-a", "bench", "-o", "json")
        answer.check_returncode()
        status: dict[str, object] = json.loads(answer.stdout)
        return status

    def spawner(self) -> int:
        return next(pid for pid in processes_of(self._home) if "fourfold/spawner/" in command_line(pid))

    def stop(self) -> None:
        if self._up is not None and self._up.poll() is None:
            self._up.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.command("down", "-a", "bench", "--purge", "-y")
            self.command("daemon", "stop")
        if self._daemon is not None:
            self._daemon.wait(timeout=60)
        end(processes_of(self._home))
        shutil.rmtree(self._home, ignore_errors=True)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [FOURFOLD, *arguments], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=120
        )

    def _service(self, program: Program) -> dict[str, object]:
        return {
            "source": str(program.files),
            "run": list(program.argv),
            "port": {"fixed": program.port},
            "stop": {"drain": 0, "grace": 2},
        }


class Supervisord:
    """https://supervisord.org, from PyPI."""

    name = "supervisord"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._updating: subprocess.Popen[bytes] | None = None

    @staticmethod
    def install() -> None:
        if not (PEERS / "supervisor" / "bin" / "supervisord").exists():
            subprocess.run(["/usr/bin/python3", "-m", "venv", PEERS / "supervisor"], check=True)
            pip = str(PEERS / "supervisor" / "bin" / "pip")
            subprocess.run([pip, "install", "-q", "--disable-pip-version-check", "supervisor>=4.3"], check=True)

    def prepare(self) -> None:
        self._run_with([])
        until((self.folder / "control.sock").exists, what="supervisord to listen")

    def start(self, programs: Sequence[Program]) -> None:
        if self.process is None:
            self._run_with(programs)
            return
        self._write(programs)
        self._updating = subprocess.Popen(self.command("update"), env=ENV, stdout=subprocess.DEVNULL)

    def command(self, *arguments: str) -> list[str]:
        return [str(PEERS / "supervisor" / "bin" / "supervisorctl"), "-c", str(self._config), *arguments]

    @property
    def _config(self) -> Path:
        return self.folder / "supervisord.conf"

    def _run_with(self, programs: Sequence[Program]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(programs)
        binary = PEERS / "supervisor" / "bin" / "supervisord"
        self.process = subprocess.Popen([str(binary), "-c", str(self._config)], env=ENV, stdout=subprocess.DEVNULL)

    def _write(self, programs: Sequence[Program]) -> None:
        lines = ["[supervisord]", "nodaemon=true", f"logfile={self.folder}/log", f"pidfile={self.folder}/pid"]
        lines += ["user=root"] if os.geteuid() == 0 else []
        lines += ["[unix_http_server]", f"file={self.folder}/control.sock"]
        lines += ["[supervisorctl]", f"serverurl=unix://{self.folder}/control.sock", "[rpcinterface:supervisor]"]
        lines += ["supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface"]
        for program in programs:
            lines += [
                f"[program:{program.name}]",
                f"command={' '.join(program.argv)}",
                f"directory={program.files}",
                f'environment=PORT="{program.port}",HOST="127.0.0.1"',
                f"stdout_logfile={self.folder}/{program.name}.log",
                "redirect_stderr=true",
                "autorestart=true",
            ]
        self._config.write_text("\n".join(lines))

    def stop(self) -> None:
        if self._updating is not None:
            self._updating.wait(timeout=300)
        if self.process is not None:
            end(with_descendants([self.process.pid]))  # by itself it takes a second for each program
            self.process.wait()


class Pm2:
    """https://pm2.keymetrics.io, from npm."""

    name = "PM2"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = {**ENV, "PM2_HOME": str(folder / "home")}
        self._starting: subprocess.Popen[bytes] | None = None

    @staticmethod
    def install() -> None:
        if not (PEERS / "pm2" / "node_modules" / ".bin" / "pm2").exists():
            npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(PEERS / "pm2"), "pm2"]
            subprocess.run(npm, check=True)

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(self.command("ping"), env=self._env, stdout=subprocess.DEVNULL, check=True)

    def start(self, programs: Sequence[Program]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        apps = [
            {
                "name": program.name,
                "script": shutil.which(program.argv[0], path=ENV["PATH"]),
                "args": list(program.argv[1:]),
                "interpreter": "none",
                "cwd": str(program.files),
                "env": {"PORT": str(program.port), "HOST": "127.0.0.1"},
            }
            for program in programs
        ]
        file = self.folder / "ecosystem.config.json"
        file.write_text(json.dumps({"apps": apps}))
        self._starting = subprocess.Popen(self.command("start", str(file)), env=self._env, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self._starting is not None:
            self._starting.wait(timeout=120)
        subprocess.run(self.command("kill"), env=self._env, stdout=subprocess.DEVNULL, timeout=120)

    def command(self, *arguments: str) -> list[str]:
        return [str(PEERS / "pm2" / "node_modules" / ".bin" / "pm2"), "--silent", *arguments]


def install_peers() -> None:
    PEERS.mkdir(parents=True, exist_ok=True)
    Supervisord.install()
    Pm2.install()
