"""One life: steps until it is over, under constant load, and what came of it."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import httpx

from tests.chaos.invariants import at_rest, faults_told
from tests.chaos.schedule import Fault, Step, steps
from tests.chaos.world import PATIENCE, Change, World
from tests.e2e.home import Home
from tests.e2e.small_disk import small_disk
from tests.e2e.test_kill_matrix import stranger
from tests.e2e.traffic import Traffic
from tests.support.report import Report
from tests.support.wait import until

DISK_MEGABYTES, WITH_IMAGES = 200, 2000
"""Of the home's disk, which is in memory."""
FULL_FOR = 20.0
"""Seconds that a command may wait for room, before there is some again."""
MAY_LOSE: dict[Fault, int | None] = {"instance": 8, "gateway": None}
"""Requests that may be lost with a fault: those that a killed instance was answering (each client has one at a time),
and whatever comes while there is no gateway. With all else: none."""
MAY_FAIL: tuple[Fault, ...] = ("daemon", "both", "spawner", "disk")
"""What may fail a change; it must work when it is asked for again. Nothing else may."""


@dataclass
class Story:
    steps: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    excused: int = 0
    """Requests lost with an instance or a gateway that was killed."""
    report: Report = field(default_factory=Report)

    def __str__(self) -> str:
        return (
            f"{self.steps} steps: {_listed(self.changes)}\n  faults: {_listed(self.faults)}\n"
            f"  requests: {self.report.ok} answered, {self.report.failed - self.excused} lost, {self.excused} that an "
            f"instance or gateway was killed with"
        )


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counted.most_common())


def live(
    home: Home,
    seed: int,
    goes_on: Callable[[int], bool],
    patterns: tuple[str, ...] = ("process",),
    rps: float = 15.0,
    tell: Callable[[str], None] = print,
) -> Story:
    """`goes_on(steps taken)`: whether there is to be another. Raises AssertionError, naming the step that broke it."""
    story = Story()
    with small_disk(home, WITH_IMAGES if len(patterns) > 1 else DISK_MEGABYTES) as disk, stranger() as bystander:
        world = World(home, disk, patterns)
        world.begin()
        at_rest(home, "the beginning", world.state)
        with Traffic(home.port, rps) as traffic:
            traffic.flow()
            for step in steps(seed, len(patterns)):
                if not goes_on(story.steps):
                    break
                tell(f"seed {seed}, {step}")
                take(world, step, traffic, story)
                assert bystander.poll() is None, f"seed {seed}, {step}: somebody else's process was signalled"
        story.report = traffic.report()
        assert story.report.ok and story.report.failed == story.excused, f"seed {seed}: {story.report}"
    return story


def take(world: World, step: Step, traffic: Traffic, story: Story) -> None:
    home, before, lost = world.home, world.state, traffic.report().failed
    change = world.prepare(step)
    code = _carry_out(world, change, step)
    may_fail, wanted = step.fault in MAY_FAIL, change.wanted
    if may_fail and change.by_hand:
        until(lambda: home.waits_for_somebody() or home.rests(), PATIENCE, f"{step}: a step, or rest")
        if home.waits_for_somebody():  # nobody's word was heard
            home.run(*change.command)
        may_fail, code = False, change.code
    found = at_rest(home, str(step), *((before, replace(before, worker=True), *wanted) if may_fail else wanted))
    if may_fail and change.command and (code != change.code or found not in wanted):
        home.run(*change.command, code=change.code)
        found = at_rest(home, f"{step}, once more", *wanted)
    elif change.command:
        assert code == change.code, f"{step}: its command exited with {code}, not {change.code}"
    world.arrived(found)
    traffic.flow()
    _count(story, step, traffic.report().failed - lost, traffic.report())
    assert not (told := faults_told(home)), f"{step}: the daemon tells of mistakes: {told}"


def _carry_out(world: World, change: Change, step: Step) -> int | None:
    """-> the exit code of its command."""
    with events_of(world.home) as happened:
        client = world.home.start(*change.command) if change.command else None
        if step.fault:
            until(
                lambda: len(happened) >= step.after or client is None or client.poll() is not None,
                PATIENCE,
                f"{step}: the change to come so far",
            )
            world.strike(step)
            if step.fault == "disk" and client is not None:
                with suppress(AssertionError):
                    until(lambda: client.poll() is not None, FULL_FOR)
            world.mend(step)
    if client is None:
        return None
    try:
        output, _ = client.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        client.kill()
        said, told = client.communicate()[0], world.home.daemon_log()
        raise AssertionError(
            f"{step}: its command has not ended. It said: {said}\nThe daemon: {told[-3000:]}"
        ) from None
    print(output[-1500:])
    return client.returncode


def _count(story: Story, step: Step, lost: int, report: Report) -> None:
    story.steps += 1
    story.changes[step.what] += 1
    if step.fault:
        story.faults[step.fault] += 1
    allowed = MAY_LOSE.get(step.fault, 0)
    assert allowed is None or lost <= allowed, f"{step}: {lost} requests were lost, {report}"
    story.excused += lost


@contextmanager
def events_of(home: Home) -> Iterator[list[str]]:
    """What happens to the app from now on, for as long as the daemon lives."""
    happened: list[str] = []
    api = home.api()

    def follow() -> None:
        with suppress(httpx.HTTPError, RuntimeError):
            last = max((event["seq"] for event in home.events()), default=0)
            asked = {"app": "app", "follow": "true", "after": str(last)}
            with api.stream("GET", "/v1/events", params=asked, timeout=None) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data:"):
                        happened.append(line)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield happened
    finally:
        api.close()
