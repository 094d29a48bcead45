"""When an instance that ended runs again: the first time at once, then ever later; and when that is a crash loop."""

from __future__ import annotations

from collections.abc import Iterable

from fourfold.plan.model import Instance, Restarting

CRASH_LOOP_FAILURES = 3
START_ATTEMPTS = 2
"""A new version that ends this often before it ever got ready has failed."""


def failures_after(failures: int, well_for: float, rules: Restarting) -> int:
    """Failures in a row once an instance ends that had been ready for `well_for` seconds (0 if it never was)."""
    return 1 if settled(well_for, rules) else failures + 1


def settled(well_for: float, rules: Restarting) -> bool:
    """Whether it has been ready for so long that what was before does not count any more."""
    return well_for >= max(10.0, rules.backoff_max)


def delay(failures: int, rules: Restarting) -> float:
    """Seconds between an exit and the next start."""
    if failures <= 1:
        return 0.0
    return float(min(rules.backoff_min * 2.0 ** min(failures - 2, 30), rules.backoff_max))


def rebooted(instance: Instance) -> bool:
    return instance.ended is not None and instance.ended.rebooted


def restarts(instance: Instance, rules: Restarting) -> bool:
    """Whether an instance that ended is to run again at all. The policy is about programs that end by themselves."""
    if rebooted(instance) or instance.sick is not None:
        return True
    if rules.policy == "on-failure":
        return instance.ended is None or instance.ended.code != 0
    return rules.policy == "always"


def restarts_at(instance: Instance, rules: Restarting) -> float:
    return instance.since + (0.0 if rebooted(instance) else delay(instance.failures, rules))


def is_crash_loop(failures: int) -> bool:
    return failures >= CRASH_LOOP_FAILURES


def wholly_down(instances: Iterable[Instance]) -> bool:
    """Nothing runs, nor is about to: there are none, or a reboot or repeated failures ended them all."""
    return all(i.state == "exited" and (rebooted(i) or i.failures >= START_ATTEMPTS) for i in instances)
