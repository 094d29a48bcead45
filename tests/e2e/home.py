"""A Fourfold of a test's own: its home, its apps, its daemon; everything it started is gone when it ends."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from contextlib import suppress
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.forked import ForkedDaemon
from tests.support.nobody import AS_NOBODY, reachable_checkout
from tests.support.ports import WORKER, free_port
from tests.support.wait import until

WEB = Path(__file__).parents[1] / "support" / "services" / "web.py"
OTHER_WEB = WEB.with_suffix(".mjs")
"""The same for Node.js, as a member of a group can be."""
PARTS = ("images", "disks", "accelerator.json")
"""Of a home's state: what takes long to make or find out, and is the same in all homes."""
NUMBERS = itertools.count()
"""Of homes: each has a bridge of its own, as they may live side by side."""
FOURFOLD = str(Path(sys.executable).with_name("fourfold"))


class Home:
    def __init__(self, nobody: bool = False, pattern: str = "process") -> None:
        """`nobody`: a Fourfold of that ordinary user, if not root's; `pattern`: what `web_file` runs as."""
        self._python = [*AS_NOBODY, reachable_checkout().python] if nobody else [sys.executable]
        self._fourfold = [*self._python, "-m", "fourfold"] if nobody else [FOURFOLD]
        IN_A_GROUP.set(pattern == "shared")
        # Short (a socket's path has 107 bytes) and not pytest's folder, which no other user can pass.
        self.root = Path(tempfile.mkdtemp(prefix="ff-"))
        self.root.chmod(0o711)
        self._nobody = nobody
        self._daemons: set[psutil.Process] = set()
        self._hand_over(self.root)
        self.port = free_port()
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FOURFOLD_")},
            "FOURFOLD_HOME": str(self.root / "home"),
            "HOME": str(self.root),
            "NO_COLOR": "1",
            "COLUMNS": "160",
            "TEST_PATTERN": pattern,
        }
        lane = os.getpid() % 10 * 4 + WORKER % 4  # another one than any worker beside this one has
        low = 20000 + lane * 200
        self.environ |= {"FOURFOLD_PORTS": f"{low}-{low + 199}"}
        low = 29000 + lane * 50
        self.environ |= {"FOURFOLD_INTERNAL_PORTS": f"{low}-{low + 49}"}
        number = (next(NUMBERS) + WORKER * 60) % 240
        self.environ |= {"FOURFOLD_BRIDGE": f"fourfold{number} 10.177.{number}.1/24"}

    # -- files ----------------------------------------------------------------------------------------------------

    def app(self, text: str, name: str = "app") -> Path:
        """A folder with this service file; `WEB` in it stands for a folder with the test service."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        web = folder / "web"
        web.mkdir(exist_ok=True)
        shutil.copy(WEB, web / "web.py")
        shutil.copy(OTHER_WEB, web / "web.mjs")
        file = folder / "fourfold.yaml"
        file.write_text(textwrap.dedent(text).replace("LISTEN", f"127.0.0.1:{self.port}"))
        self._hand_over(folder, *folder.rglob("*"))
        return file

    def _hand_over(self, *paths: Path) -> None:
        for path in paths if self._nobody else ():
            shutil.chown(path, "nobody", "nogroup")

    def web(self, file: Path, **environ: Any) -> None:
        """Rewrite a file made by `web_file`."""
        file.write_text(web_file(self.port, **environ))

    # -- commands -------------------------------------------------------------------------------------------------

    def run(
        self, *arguments: str, code: int | None = 0, stdin: str = "", patience: float = 180, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._fourfold, *arguments],
            env=self.environ | environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=patience,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"fourfold {' '.join(arguments)} exited with {done.returncode}, not {code}\n"
                f"{done.stdout}\n{done.stderr}\n{self.daemon_log()[-3000:]}"
            )
        return done

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._fourfold, *arguments],
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self, app: str = "app") -> dict[str, Any]:
        with self.api() as api:
            answer: dict[str, Any] = api.get(f"/v1/apps/{app}").raise_for_status().json()
            return answer

    def has_app(self, app: str = "app") -> bool:
        with self.api() as api:
            return api.get(f"/v1/apps/{app}").status_code == 200

    def service(self, name: str = "web", app: str = "app") -> dict[str, Any]:
        return next(service for service in self.status(app)["services"] if service["name"] == name)

    def instances(self, name: str = "web", app: str = "app") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.service(name, app)["instances"]
        return found

    def rests(self, name: str = "web") -> bool:
        """Or its app is gone."""
        return not self.has_app() or resting(self.service(name))

    def waits_for_somebody(self, name: str = "web") -> bool:
        """Its deployment is at a step that only a person's word ends, which nobody has said yet."""
        step = self.service(name)["deployment"]["step"]
        return step is not None and step["begun"] and "--abort" in step["waits_for"]

    def events(self, app: str = "app") -> list[dict[str, Any]]:
        with self.api() as api:
            answer: list[dict[str, Any]] = api.get("/v1/events", params={"app": app}).raise_for_status().json()
            return answer

    def api(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)  # no TLS: reading the CAs takes 30 ms
        return httpx.Client(transport=transport, base_url="http://fourfold", timeout=60)

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=30, verify=False)

    def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", data=form, timeout=30, verify=False)

    def provoke(self, path: str) -> None:
        """The answer does not matter: the program may die of it. A POST, which no gateway sends to the next one too."""
        with suppress(httpx.HTTPError):
            self.post(path, {})

    # -- processes ------------------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        return Path(self.environ["FOURFOLD_HOME"])

    @property
    def group(self) -> str:
        """Where supervise.cgroupfind puts this home's instances."""
        return "fourfold/" + sha256(os.fsencode(self.home / "run")).hexdigest()[:12]

    @property
    def socket(self) -> Path:
        return self.home / "run" / "fourfold.sock"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def images(self) -> Path:
        return self.state / "images"

    def take_images(self, kept: Path) -> None:
        """Of another home, without copying what is in them: what `PARTS` names. Owners stay."""
        self.state.mkdir(parents=True, exist_ok=True)
        for part in kept.iterdir():
            how = "-al" if part.is_dir() else "-a"
            subprocess.run(["cp", how, part, self.state / part.name], check=True)

    def holding(self, content: bytes) -> list[Path]:
        """Its files with this in them, while others come and go."""
        found = []
        for folder, _, names in os.walk(self.home):
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):
                    if path.is_file() and content in path.read_bytes():
                        found.append(path)
        return found

    def daemon_log(self) -> str:
        log = self.home / "state" / "daemon.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def story(self) -> str:
        """Its last events, as far as the daemon tells them, and the end of the daemon's log."""
        lines = []
        with suppress(httpx.HTTPError), self.api() as api:
            for event in api.get("/v1/events").json()[-60:]:
                lines.append(
                    f"{event['at']} {event['kind']} {event['instance'] or event['service']}: {event['message']}"
                )
        return "\n".join([*lines, self.daemon_log()[-5000:]])

    def daemon_pid(self) -> int:
        with self.api() as api:
            return int(api.get("/v1/info").json()["pid"])

    def processes(self) -> list[psutil.Process]:
        """Fourfold's own, which know their home, and those of instances."""
        found = []
        for process in psutil.process_iter():
            try:
                told = process.environ().get("FOURFOLD_HOME") == str(self.home)
                named = any(str(self.home) in word for word in process.cmdline())
                mine = told or named or process in self._daemons or self._is_of_instance(process)
            except (psutil.Error, OSError):
                continue
            if mine and process.pid != os.getpid():
                found.append(process)
        return found

    def of_instances(self) -> list[psutil.Process]:
        """Every process of an instance, the gateway's apart: also those that nobody knows any more."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if self._is_of_instance(process) and process.name() != "haproxy":
                    found.append(process)
        return found

    def _is_of_instance(self, process: psutil.Process) -> bool:
        """In a control group of this home; where there are none, in a folder or with mounts or a scratch of it."""
        if f"/{self.group}/" in Path(f"/proc/{process.pid}/cgroup").read_text():
            return True
        environ = process.environ()
        if "FOURFOLD_TREE" not in environ:
            return False
        mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
        told = (environ.get("TMPDIR", ""), process.cwd())
        return f"{self.home}/" in mounts or any(path.startswith(f"{self.home}/") for path in told)

    def spawner(self) -> psutil.Process:
        """AssertionError: there is none just now."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if any("spawner" in word for word in process.cmdline()):
                    return process
        raise AssertionError("no spawner runs")

    def start_daemon(self, **environ: str) -> ForkedDaemon | subprocess.Popen[bytes]:
        """Start one and wait until it answers, or has ended. Those that commands start are not forked."""
        log = self.home / "state" / "daemon.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        daemon: ForkedDaemon | subprocess.Popen[bytes]
        if self._nobody:
            with log.open("ab") as out:
                command, env = [*self._python, "-m", "fourfold.daemon"], self.environ | environ
                daemon = subprocess.Popen(
                    command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                )
        else:
            daemon = ForkedDaemon(self.environ | environ, log)
        with suppress(psutil.NoSuchProcess):  # it has ended already
            self._daemons.add(psutil.Process(daemon.pid))
        until(lambda: daemon.poll() is not None or self.daemon_pid() == daemon.pid, 60, "the daemon to answer")
        return daemon

    def kill_daemon(self) -> None:
        pidfd = os.pidfd_open(until(self.daemon_pid, 60, "a daemon to answer"))
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            # All of its threads have to be gone: with one that is left, its lock is held.
            assert select.select([pidfd], [], [], 60)[0], "the daemon has not ended"
        finally:
            os.close(pidfd)

    def _remove_group(self, group: Path) -> None:
        for folder in (*group.iterdir(), group):
            with suppress(OSError):  # a file, or a group that the kernel has not let go yet
                folder.rmdir()

    def close(self) -> None:
        """End everything by pid, whatever state the test has left."""
        while processes := self.processes() or self.processes():  # one that was about to become another is missed once
            for process in processes:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(processes, 5)
        for group in [*Path("/sys/fs/cgroup").glob(self.group), *Path("/sys/fs/cgroup").glob(f"*/{self.group}")]:
            with suppress(OSError):  # gone meanwhile
                self._remove_group(group)
        shutil.rmtree(self.root, ignore_errors=True)


STOP = "{drain: 20s, grace: 5s}"
HEALTH = "{path: /healthz, interval: 1s, grace: 2m}"
"""Without KVM a machine takes a minute to boot when all else on this one is busy too."""
IN_A_GROUP: ContextVar[bool] = ContextVar("IN_A_GROUP", default=False)
"""Whether `web_file` is for the test's service as a member of a group, or a process that can become one."""
UNKIND: dict[str, Any] = {"stop": "{signal: KILL, drain: 20s}", "STARTUP_DELAY": 0.3, "WARM_UP": 0.3}
"""Of a program that does nothing for its clients: it listens before it can answer, and goes without a word. That no
request is lost is then Fourfold's doing alone."""


def web_file(port: int, instances: int = 1, extra: str = "", stop: str = STOP, **environ: Any) -> str:
    """A service file with one service `web`, the test service, behind a route at `/`."""
    env = "".join(f"\n      {name}: {json.dumps(str(value))}" for name, value in environ.items())
    run, count, groups = "exec /usr/bin/python3 web.py", f"instances: {instances}", ""
    if IN_A_GROUP.get():  # which says how many there are
        run, count, groups = (
            "node web.mjs",
            "shared: {group: all}",
            f"\ngroups: {{all: {{kind: node, instances: {instances}}}}}",
        )
        stop = stop.replace("signal: KILL, ", "")  # hosts end members in their own way
    return f"""\
app: app
defaults: {{pattern: "${{TEST_PATTERN}}"}}{groups}
services:
  web:
    source: ./web
    run: {run}
    port: 8080
    route: {{path: /}}
    health: {HEALTH}
    {count}
    stop: {stop}
    function: {{timeout: 20s, concurrency: 6}}
    env:
      UNUSED: "1"{env}
{textwrap.indent(textwrap.dedent(extra), "    ")}
gateway: {{listen: "127.0.0.1:{port}"}}
"""


def resting(service: dict[str, Any]) -> bool:
    """All of its instances are ready, and no deployment of it is under way."""
    ready = [instance["state"] for instance in service["instances"]] == ["ready"] * service["desired"]
    return ready and service["deployment"]["state"] not in ("running", "rolling-back")
