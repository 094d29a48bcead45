"""Does what a step says to one app of a test's own Fourfold: the change, and the fault in the middle of it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.schedule import LEAST, Step
from tests.e2e.home import Home, web_file
from tests.e2e.small_disk import SmallDisk
from tests.e2e.test_faults import gateway_row

GENTLE = "{signal: KILL, drain: 20s}"
PATIENCE = 120.0
"""Seconds that a change may take on whatever machine."""


@dataclass(frozen=True)
class State:
    """What is served once all is at rest."""

    version: str
    instances: int
    pattern: str


@dataclass(frozen=True)
class Change:
    command: tuple[str, ...]
    after: State
    """When it works."""
    code: int = 0
    """How its command exits then."""


class World:
    def __init__(self, home: Home, disk: SmallDisk, patterns: tuple[str, ...]) -> None:
        self.home = home
        self.disk = disk
        self.patterns = patterns
        self.releases: dict[str, int] = {"v0": 1}
        """Number of each version that was deployed well, the last one last."""
        self._texts = {"v0": self._text("v0")}
        """The service file of each version."""
        self.state = State("v0", LEAST, patterns[0])
        self._set_clock(0.0)
        self.file = home.app(self._text("v0"))

    def begin(self) -> None:
        self.home.start_daemon()
        self.home.run("up", "-f", str(self.file))
        for pattern in self.patterns[1:]:  # its base, which may take minutes
            self.home.run("build", "-f", str(self.file), "web", "--as", pattern, patience=900)

    def _text(self, version: str, **environ: Any) -> str:
        return web_file(self.home.port, instances=LEAST, stop=GENTLE, VERSION=version, WARM_UP=0.1, **environ)

    # -- changes --------------------------------------------------------------------------------------------------

    def prepare(self, step: Step) -> Change:
        """Write what the change needs."""
        up = ("up", "-f", str(self.file))
        match step.what:
            case "deploy" | "slow":
                version = f"v{len(self._texts)}"
                slow = {"HEALTH_SECONDS": 0.9} if step.what == "slow" else {}
                self._texts[version] = self._text(version, **slow)
                self.file.write_text(self._texts[version])
                return Change(up, replace(self.state, version=version))
            case "failing":
                self.file.write_text(self._text("broken", EXIT_CODE=3))
                return Change(up, self.state, code=1)
            case "scale":
                return Change(("scale", "-a", "app", f"web={step.count}"), replace(self.state, instances=step.count))
            case "rollback":
                version = list(self.releases)[-2:][0]
                to = str(self.releases[version])
                return Change(("rollback", "-a", "app", "web", "--to", to), replace(self.state, version=version))
            case "restart":
                return Change(("restart", "-a", "app", "web"), self.state)
            case "move":
                others = [each for each in self.patterns if each != self.state.pattern]
                to = others[step.victim % len(others)]
                self.file.write_text(self._texts[self.state.version])
                return Change(("deploy", "-f", str(self.file), "web", "--as", to), replace(self.state, pattern=to))
            case "gc":
                return Change(("gc",), self.state)
            case "nothing":
                return Change((), self.state)
        raise AssertionError(step.what)

    def arrived(self, state: State) -> None:
        """At rest there."""
        self.state = state
        self.releases.pop(state.version, None)
        self.releases[state.version] = self.home.service()["release"]

    # -- faults ---------------------------------------------------------------------------------------------------

    def strike(self, step: Step) -> None:
        match step.fault:
            case "daemon":
                self.home.kill_daemon()
            case "spawner":
                self._kill_spawner()
            case "both":
                self.home.kill_daemon()
                self._kill_spawner()
            case "instance":
                serving = [each["pid"] for each in self.home.instances() if each["state"] == "ready"]
                if len(serving) > 1:  # else its death is what loses requests, not what Fourfold makes of it
                    _kill(serving[step.victim % len(serving)])
            case "gateway":
                if (pid := gateway_row(self.home)["pid"]) is not None:
                    _kill(pid)
            case "disk":
                self.disk.fill()
            case "clock":
                self._set_clock(step.jump)

    def mend(self, step: Step) -> None:
        """What somebody who is on call does."""
        if step.fault == "disk":
            self.disk.free()
        with suppress(httpx.HTTPError):
            self.home.daemon_pid()
            return
        self.home.start_daemon()

    def _kill_spawner(self) -> None:
        with suppress(StopIteration):  # it starts anew just now
            spawner = self.home.spawner()
            _kill(spawner.pid)

    def _set_clock(self, seconds: float) -> None:
        """As the daemon sees it (`control.faults`): the machine's own is others' too."""
        self.home.environ["FOURFOLD_FAULT_CLOCK"] = str(self._clock_file)
        self._clock_file.parent.mkdir(parents=True, exist_ok=True)
        told = float(self._clock_file.read_text()) if self._clock_file.exists() else 0.0
        new = self._clock_file.with_suffix(".new")
        new.write_text(str(told + seconds))
        new.rename(self._clock_file)

    @property
    def _clock_file(self) -> Path:
        return self.home.root / "clock"


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
