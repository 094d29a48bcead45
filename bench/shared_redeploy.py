"""A new version of one web application in a Tomcat that runs several, under load: what fails, and until it serves.

With Fourfold, one member of a group is deployed: built, put into the running Tomcat beside its old version, and reached
by requests once it answers. By hand, its files are replaced and the whole Tomcat (Debian's, of the same version) is
restarted. All applications get requests meanwhile.
`python -m bench.shared_redeploy [--apps 5] [--rounds 5]`
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.support.load import Load
from tests.support.report import Report
from tests.support.wait import until

from bench.contenders import Fourfold
from bench.figures import table, verdict
from bench.machine import ENV, folder, free_ports, get, need_root_and_parts
from bench.webapps import LANGUAGES, group, service

JAVA = LANGUAGES["java"]
RPS = 20.0
"""Requests to each application per second."""
TOMCAT = Path("/usr/share/tomcat10")
SERVER = """
<Server port="-1">
  <Service name="Catalina">
    <Connector address="127.0.0.1" port="PORT" protocol="HTTP/1.1"/>
    <Engine name="Catalina" defaultHost="localhost">
      <Host name="localhost" appBase="webapps" autoDeploy="false"/>
    </Engine>
  </Service>
</Server>
"""


@dataclass
class Rounds:
    seconds: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=lambda: {"it": 0, "others": 0})
    answered: int = 0

    def add(self, seconds: float, it: Report, others: Sequence[Report]) -> None:
        self.seconds.append(seconds)
        self.failed["it"] += it.failed
        self.failed["others"] += sum(other.failed for other in others)
        self.answered += sum(report.ok for report in (it, *others))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.shared_redeploy", description=__doc__.splitlines()[0])
    parser.add_argument("--apps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    need_root_and_parts()
    names = [f"app{number}" for number in range(options.apps)]
    ours, theirs = Rounds(), Rounds()
    with (
        folder() as base,
        contextlib.closing(Ours(base / "ours", names)) as fourfold,
        contextlib.closing(ByHand(base / "tomcat", names)) as tomcat,
    ):
        for number in range(options.rounds):
            measure(fourfold, names, f"f{number}", ours)
            measure(tomcat, names, f"t{number}", theirs)
    title = f"A new version of one of {options.apps} web applications, to its first answer"
    print(table(title, "seconds", {"fourfold": ours.seconds, "restarted": theirs.seconds}))
    print(f"\nRequests that failed meanwhile, of {ours.answered} (ours) and {theirs.answered} (restarted) answered")
    for where in ours.failed:
        print(f"  on {where:<8} fourfold: {ours.failed[where]:>5}   restarted: {theirs.failed[where]:>5}")
    held = [verdict(f"ours, failed on {where}", ours.failed[where], 0) for where in ours.failed]
    held.append(verdict("restarted / ours", median(theirs.seconds) / median(ours.seconds), 1, at_least=True))
    return 0 if all(held) else 1


def measure(tomcat: Ours | ByHand, names: Sequence[str], version: str, rounds: Rounds) -> None:
    loads = [Load(f"http://127.0.0.1:{tomcat.port}/{name}", connections=2, rps=RPS, keep_alive=0.5) for name in names]
    with contextlib.ExitStack() as held:
        for load in loads:
            held.enter_context(load)
        until(lambda: all(load.report().ok >= RPS for load in loads), 60, "requests to flow")
        seconds = tomcat.replace(version)
        answered = [load.report().ok for load in loads]
        until(lambda: all(load.report().ok >= n + RPS for load, n in zip(loads, answered, strict=True)), 60, "more")
    it, *others = [load.report() for load in loads]
    rounds.add(seconds, it, others)
    print(f"{type(tomcat).__name__}: {seconds:.2f} s, {it.failed} + {sum(o.failed for o in others)} failed", flush=True)


class Ours:
    def __init__(self, base: Path, names: Sequence[str]) -> None:
        self._keeper = Fourfold(base)
        self._sources = base / "java"
        self._name = names[0]
        self.port = self._keeper.gateway
        self._sources.mkdir(parents=True)
        for name in names:
            JAVA.write(self._sources / name, name, "0")
        services = {name: service(JAVA, self._sources, name, "shared") for name in names}
        drained = {"stop": {"drain": "10s", "grace": 5}}
        content: dict[str, object] = {
            "app": "bench",
            "groups": {"apps": group(JAVA)},
            "services": {name: {**services[name], **drained} for name in names},
        }
        try:
            self._keeper.start_file(content)
            self._keeper.wait()
        except BaseException:
            self.close()
            raise

    def replace(self, version: str) -> float:
        JAVA.write(self._sources / self._name, self._name, version)
        began = time.monotonic()
        deploying = self._keeper.start_command(
            "deploy", "-q", "-f", str(self._keeper.folder / "fourfold.yaml"), self._name
        )
        until(lambda: serves(self.port, self._name, version), 120, "the new version", every=0.005)
        seconds = time.monotonic() - began
        if code := deploying.wait(timeout=300):
            raise RuntimeError(f"`fourfold deploy` ended with exit code {code}")
        return seconds

    def close(self) -> None:
        self._keeper.stop()


class ByHand:
    """Debian's Tomcat with the same applications."""

    def __init__(self, base: Path, names: Sequence[str]) -> None:
        self.port = free_ports(1, start=19000)[0]
        self._base = base
        self._name = names[0]
        for part in ("conf", "logs", "temp", "webapps", "work"):
            (base / part).mkdir(parents=True)
        (base / "conf/server.xml").write_text(SERVER.replace("PORT", str(self.port)))
        for name in names:
            JAVA.write(base / "webapps" / name, name, "0")
            shutil.move(base / "webapps" / f"{name}.java", base / f"{name}.java")
        self._start()
        until(lambda: serves(self.port, self._name, "0"), 120, "Tomcat to serve")

    def _start(self) -> None:
        jars = ":".join(str(TOMCAT / "bin" / name) for name in ("bootstrap.jar", "tomcat-juli.jar"))
        options = [f"-Dcatalina.home={TOMCAT}", f"-Dcatalina.base={self._base}", f"-Djava.io.tmpdir={self._base}/temp"]
        with (self._base / "logs/out").open("ab") as log:
            self._process = subprocess.Popen(
                ["java", *options, "-cp", jars, "org.apache.catalina.startup.Bootstrap", "start"],
                env=ENV, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def replace(self, version: str) -> float:
        JAVA.write(self._base / "new", self._name, version)
        began = time.monotonic()
        shutil.copytree(self._base / "new", self._base / "webapps" / self._name, dirs_exist_ok=True)
        self.close()
        self._start()
        until(lambda: serves(self.port, self._name, version), 120, "the new version", every=0.005)
        return time.monotonic() - began

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)


def serves(port: int, name: str, version: str) -> bool:
    request = f"GET /{name}/ HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
    return f"{name.capitalize()} {version}".encode() in get(port, request.encode())


if __name__ == "__main__":
    raise SystemExit(main())
