"""Does what a step says to one app of a test's own Fourfold: the change, and the fault in the middle of it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.schedule import LEAST, MOST, Step, Strategy
from tests.e2e.home import Home, web_file
from tests.e2e.small_disk import SmallDisk
from tests.e2e.test_faults import gateway_row
from tests.support.wait import until

GENTLE = "{signal: KILL, drain: 20s}"
SCALED = f"instances: {{min: {LEAST}, max: {MOST}, per_instance: {{rps: 1000}}, window: {{down: 1s}}}}"
"""As far as the load goes, always the least."""
JUDGED = "min_requests: 0, max_errors: 1"
"""Not at all: requests that a killed instance was answering would fail a canary."""
AUTOMATIC: dict[Strategy, str] = {
    "rolling": "deploy: {strategy: rolling}",
    "canary": f"deploy: {{strategy: canary, steps: [{{weight: 9, pause: 50ms}}, {{weight: 50, pause: 1s}}], {JUDGED}}}",
    "blue-green": "deploy: {strategy: blue-green}",
}
BY_HAND: dict[Strategy, str] = {
    "canary": f"deploy: {{strategy: canary, steps: [{{weight: 50}}], {JUDGED}}}",
    "blue-green": "deploy: {strategy: blue-green, promote: manual}",
}
WORKER = """\
  worker:
    source: ./web
    run: exec sleep infinity
    depends_on: [web]
    stop: {grace: 1s}
    env: {VERSION: %s}
"""
PATIENCE = 120.0
"""Seconds that a change may take on whatever machine."""


@dataclass(frozen=True)
class State:
    """What is served once all is at rest."""

    version: str
    instances: int
    pattern: str
    worker: bool = True
    """What depends on it runs."""


@dataclass(frozen=True)
class Change:
    command: tuple[str, ...]
    after: State
    """When it works."""
    or_else: State | None = None
    """Just as well: what depends on a service that does not get there may have been started beside the old one."""
    code: int = 0
    """How its command exits then."""
    by_hand: bool = False
    """A deployment waits for it."""

    @property
    def wanted(self) -> tuple[State, ...]:
        return (self.after,) if self.or_else is None else (self.after, self.or_else)


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
        self.home.environ["FOURFOLD_SCALE_INTERVAL"] = "1"
        self.file = home.app(self._text("v0"))

    def begin(self) -> None:
        self.home.start_daemon()
        self.home.run("up", "-f", str(self.file))
        for pattern in self.patterns[1:]:  # its base, which may take minutes
            self.home.run("build", "-f", str(self.file), "web", "--as", pattern, patience=900)

    def _text(self, version: str, deploy: str = AUTOMATIC["rolling"], **environ: Any) -> str:
        text = web_file(
            self.home.port, instances=LEAST, extra=deploy, stop=GENTLE, VERSION=version, WARM_UP=0.1, **environ
        )
        text = text.replace(f"instances: {LEAST}", SCALED)
        return text.replace("\ngateway:", f"\n{WORKER % version}gateway:")

    # -- changes --------------------------------------------------------------------------------------------------

    def prepare(self, step: Step) -> Change:
        """Write what the change needs."""
        match step.what:
            case "deploy" | "slow" | "failing":
                return self._deployment(step)
            case "promote" | "abort" | "overtake":
                return self._word(step)
            case "scale":
                return Change(("scale", "-a", "app", f"web={step.count}"), replace(self.state, instances=step.count))
            case "auto":
                return Change(("scale", "-a", "app", "web=auto"), replace(self.state, instances=LEAST))
            case "stop":
                what = "stop" if self.state.worker else "restart"
                return Change((what, "-a", "app", "worker"), replace(self.state, worker=not self.state.worker))
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

    def _deployment(self, step: Step) -> Change:
        """That goes on by itself."""
        up = ("up", "-f", str(self.file))
        match step.what:
            case "deploy":
                return Change(up, self._next(AUTOMATIC[step.strategy]))
            case "slow":
                return Change(up, self._next(AUTOMATIC["rolling"], HEALTH_SECONDS=0.7))
        self.file.write_text(self._text("broken", AUTOMATIC[step.strategy], EXIT_CODE=3))
        return Change(up, self.state, code=1, or_else=replace(self.state, worker=True))

    def _word(self, step: Step) -> Change:
        """About a deployment that waits for it."""
        promoted = self._next(BY_HAND[step.strategy])
        up, deploy = ("up", "-f", str(self.file)), ("deploy", "-a", "app", "web")
        self.home.run(*up, "--detach")
        until(self.home.waits_for_somebody, PATIENCE, f"{step}: a deployment that waits")
        match step.what:
            case "promote":
                return Change((*deploy, "--promote"), promoted, by_hand=True)
            case "abort":
                return Change((*deploy, "--abort"), replace(promoted, version=self.state.version), by_hand=True)
        return Change(up, self._next(AUTOMATIC["rolling"]), by_hand=True)

    def _next(self, deploy: str, **environ: Any) -> State:
        """Write the file of another version. -> the state that `up` with it leads to."""
        version = f"v{len(self._texts)}"
        self._texts[version] = self._text(version, **environ)
        self.file.write_text(self._text(version, deploy, **environ))
        return replace(self.state, version=version, worker=True)

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
        with suppress(AssertionError):  # it starts anew just now
            _kill(self.home.spawner().pid)

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
