"""Containers against Docker and bare runc, all with the same root file system, in a network namespace of their own.

Edit: one source file of a Python service is changed; how long until the new version is served? Docker builds with the
base in its cache, through Compose, and by hand: built, the old container killed, a new one run. Start: a built
container, from the request to the first 200; and from the command, which is a Python program of its own. Memory: what
an idle container takes beyond its program as a process.
`python -m bench.container [--rounds 5]`
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.support.wait import until

from bench.contenders import Fourfold
from bench.figures import table, verdict
from bench.machine import ENV, folder, free_ports, get, need_root_and_parts

PROGRAM = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"this is VERSION")
    def log_message(self, *_):
        pass

ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
"""
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
IN_ITS_OWN_NETWORK = "FOURFOLD_BENCH_NETWORK"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.container", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    need_root_and_parts()
    if IN_ITS_OWN_NETWORK not in os.environ:
        os.environ[IN_ITS_OWN_NETWORK] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.support.netns", "--", sys.executable, "-m",
                                  "bench.container", *sys.argv[1:]])  # fmt: skip
    with folder() as base, contextlib.ExitStack() as held:
        ours = held.enter_context(Ours(base))
        docker = held.enter_context(Docker(base, ours.image()))
        runc = Runc(base, docker.exported())
        edits: dict[str, list[float]] = {"fourfold": [], "compose": [], "build + run": []}
        starts: dict[str, list[float]] = {"fourfold": [], "by command": [], "runc run": [], "docker run": []}
        for number in range(options.rounds):
            edits["fourfold"].append(ours.edit(f"f{number}"))
            edits["compose"].append(docker.compose(f"c{number}"))
            edits["build + run"].append(docker.edit(f"d{number}"))
            starts["fourfold"].append(ours.start_by_request())
            starts["by command"].append(ours.start_by_command())
            starts["runc run"].append(runc.start())
            starts["docker run"].append(docker.start())
        memory = ours.memory("container") - ours.memory("process")
    print(table("One source file edited, to the new version served", "seconds", edits))
    mine = median(edits["fourfold"])
    held_all = verdict("docker-compose up --build / ours", median(edits["compose"]) / mine, 3.0, at_least=True)
    held_all &= verdict("ours", mine, 1.0)
    print(table("\nA built container, to its first 200", "seconds", starts))
    mine = median(starts["fourfold"])
    held_all &= verdict("ours / runc run", mine / median(starts["runc run"]), 1.5)
    held_all &= verdict("docker run / ours", median(starts["docker run"]) / mine, 2.0, at_least=True)
    print("\nMemory of an idle container beyond its program's as a process (MiB)")
    held_all &= verdict("one instance", memory / 1024**2, 2.0)
    return 0 if held_all else 1


class Ours:
    def __init__(self, base: Path) -> None:
        self._keeper = Fourfold(base / "fourfold")
        self._source = base / "fourfold" / "web"
        self._base = base

    def __enter__(self) -> Ours:
        self._keeper.prepare()
        self._source.mkdir()
        self._write("first")
        self._file({"pattern": "container"})
        self._command("up", "-q", "-f", str(self._path))
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.stop()

    @property
    def _path(self) -> Path:
        return self._keeper.folder / "fourfold.yaml"

    def _file(self, more: dict[str, object]) -> None:
        service = {
            "source": "./web", "runtime": PYTHON, "run": ["python3", "web.py"], "port": 8080, "route": {"path": "/"},
            "stop": {"drain": 0, "grace": 2}, **more,
        }  # fmt: skip
        listen = f"127.0.0.1:{self._keeper.gateway}"
        self._path.write_text(json.dumps({"app": "bench", "services": {"web": service}, "gateway": {"listen": listen}}))

    def _write(self, version: str) -> None:
        (self._source / "web.py").write_text(PROGRAM.replace("VERSION", version))

    def _command(self, *arguments: str) -> None:
        self._keeper.command(*arguments).check_returncode()

    def image(self) -> Path:
        """The built image, for Docker to have the same."""
        file = self._base / "image.tar"
        self._command("build", "web", "-f", str(self._path), "--format", "docker-archive", "--to", str(file))
        return file

    def edit(self, version: str) -> float:
        self._write(version)
        began = time.monotonic()
        with running(self._keeper.start_command("deploy", "-q", "-f", str(self._path), "web")):
            until(lambda: serves(self._keeper.gateway, version), 60, "the new version", every=0.002)
            return time.monotonic() - began

    def start_by_request(self) -> float:
        """As the CLI asks, without the CLI."""
        self._command("scale", "-a", "bench", "web=0")
        with self._keeper.api() as api:
            began = time.monotonic()
            api.post("/v1/apps/bench/services/web/scale", json={"instances": 1}).raise_for_status()
            until(lambda: serves(self._keeper.gateway, ""), 60, "an answer", every=0.002)
            return time.monotonic() - began

    def start_by_command(self) -> float:
        self._command("scale", "-a", "bench", "web=0")
        began = time.monotonic()
        with running(self._keeper.start_command("scale", "-q", "-a", "bench", "web=1")):
            until(lambda: serves(self._keeper.gateway, ""), 60, "an answer", every=0.002)
            return time.monotonic() - began

    def memory(self, pattern: str) -> int:
        self._command("deploy", "-f", str(self._path), "web", "--as", pattern)
        serves(self._keeper.gateway, "")
        return int(self._keeper.status()["services"][0]["instances"][0]["memory_bytes"])  # type: ignore[index]


def serves(port: int, version: str) -> bool:
    return f"this is {version}".encode() in get(port)


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The command goes on beside what is measured; it must end well."""
    yield
    if code := process.wait(timeout=120):
        raise RuntimeError(f"{process.args!r} ended with exit code {code}")


class Docker:
    """Debian's docker.io, with a daemon of this bench's own."""

    def __init__(self, base: Path, image: Path) -> None:
        self._base = base / "docker"
        self._image = image
        self._port = free_ports(2, start=18000)[0]

    def __enter__(self) -> Docker:
        self._base.mkdir()
        folders = ["--data-root", str(self._base / "data"), "--exec-root", str(self._base / "exec")]
        address = f"unix://{self._base}/docker.sock"
        self._log = (self._base / "log").open("wb")
        self._daemon = subprocess.Popen(
            ["/usr/sbin/dockerd", *folders, "-H", address, "-p", str(self._base / "pid")],
            env={**ENV, "DOCKER_BUILDKIT": "0"}, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        until(lambda: self._docker("info"), 60, "dockerd to answer")
        loaded = self._docker("load", "-q", "-i", str(self._image)).stdout.decode()
        self._docker("tag", loaded.partition(": ")[2].strip(), "base")
        (self._base / "context").mkdir()
        file = 'FROM base\nCOPY web.py /app/web.py\nENTRYPOINT []\nCMD ["python3", "/app/web.py"]\n'
        (self._base / "context" / "Dockerfile").write_text(file)
        # With an init, as ours: without, Compose waits ten seconds for a program that ignores its stop signal.
        service = {"build": "context", "init": True, "ports": [f"127.0.0.1:{self._port + 1}:8080"]}
        (self._base / "compose.yaml").write_text(json.dumps({"version": "3.7", "services": {"web": service}}))
        self.edit("first")
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            self._docker("rm", "-f", "web", *self._docker("ps", "-aq").stdout.decode().split())
        self._daemon.terminate()
        self._daemon.wait(timeout=60)
        self._log.close()

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["/usr/bin/docker", "-H", f"unix://{self._base}/docker.sock", *arguments]
        environ = {**ENV, "DOCKER_BUILDKIT": "0"}
        return subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True)

    def _run(self) -> None:
        self._docker("run", "-d", "--name", "web", "-p", f"127.0.0.1:{self._port}:8080", "web")

    def edit(self, version: str) -> float:
        (self._base / "context" / "web.py").write_text(PROGRAM.replace("VERSION", version))
        began = time.monotonic()
        self._docker("build", "-q", "-t", "web", str(self._base / "context"))
        with contextlib.suppress(subprocess.CalledProcessError):  # the first time there is none
            self._docker("rm", "-f", "web")
        self._run()
        until(lambda: serves(self._port, version), 60, "the new version", every=0.002)
        return time.monotonic() - began

    def compose(self, version: str) -> float:
        """`docker-compose up --build -d`: Debian's version of Compose."""
        (self._base / "context" / "web.py").write_text(PROGRAM.replace("VERSION", version))
        environ = {**ENV, "DOCKER_HOST": f"unix://{self._base}/docker.sock", "DOCKER_BUILDKIT": "0"}
        command = ["/usr/bin/docker-compose", "-f", str(self._base / "compose.yaml"), "up", "--build", "-d"]
        began = time.monotonic()
        with running(subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)):
            until(lambda: serves(self._port + 1, version), 60, "the new version", every=0.002)
            return time.monotonic() - began

    def start(self) -> float:
        self._docker("rm", "-f", "web")
        began = time.monotonic()
        self._run()
        until(lambda: serves(self._port, ""), 60, "an answer", every=0.002)
        return time.monotonic() - began

    def exported(self) -> Path:
        """The root file system of the image, as a folder."""
        root = self._base / "root"
        root.mkdir()
        command = ["/usr/bin/docker", "-H", f"unix://{self._base}/docker.sock", "export", "web"]
        with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE) as export:
            subprocess.run(["tar", "-x", "-C", str(root)], stdin=export.stdout, check=True)
        return root


class Runc:
    """`runc run` by hand, in the network of the bench."""

    def __init__(self, base: Path, root: Path) -> None:
        self._bundle = base / "bundle"
        self._bundle.mkdir()
        self._port = free_ports(1, start=19000)[0]
        subprocess.run(["runc", "spec", "-b", str(self._bundle)], env=ENV, check=True)
        config = json.loads((self._bundle / "config.json").read_text())
        config["process"] |= {"args": ["python3", "/app/web.py"], "terminal": False}
        config["process"]["env"] += [f"PORT={self._port}", "HOST=127.0.0.1"]
        del config["process"]["rlimits"]
        config["root"]["path"] = str(root)
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [space for space in spaces if space["type"] != "network"]
        (self._bundle / "config.json").write_text(json.dumps(config))

    def start(self) -> float:
        name = "fourfold-bench"
        began = time.monotonic()
        subprocess.run(
            ["runc", "run", "-d", "-b", str(self._bundle), name],
            env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        try:
            until(lambda: serves(self._port, ""), 60, "an answer", every=0.002)
            return time.monotonic() - began
        finally:
            subprocess.run(["runc", "delete", "-f", name], env=ENV, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
