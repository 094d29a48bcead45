"""When an instance that ended runs again: the first time at once, then ever later; and when that is a crash loop."""

from __future__ import annotations

from fourfold.plan.model import Goal, Instance, Restarting

CRASH_LOOP_FAILURES = 3
START_ATTEMPTS = 2
"""A new version that ends this often before it ever got ready has failed."""


def failures_after(failures: int, well_for: float, rules: Restarting) -> int:
    """Failures in a row once an instance ends that had been ready for `well_for` seconds (0 if it never was)."""
    return 1 if well_for >= max(10.0, rules.backoff_max) else failures + 1


def delay(failures: int, rules: Restarting) -> float:
    """Seconds between an exit and the next start."""
    if failures <= 1:
        return 0.0
    return float(min(rules.backoff_min * 2.0 ** min(failures - 2, 30), rules.backoff_max))


def restarts(instance: Instance, rules: Restarting) -> bool:
    """Whether an instance that ended is to run again at all."""
    ended = instance.ended
    if ended is not None and ended.rebooted:
        return True
    if rules.policy == "on-failure":
        return ended is None or ended.code != 0
    return rules.policy == "always"


def is_crash_loop(failures: int) -> bool:
    return failures >= CRASH_LOOP_FAILURES


def verdict(instance: Instance, goal: Goal, now: float) -> str | None:
    """Why a deployment must be given up because of this new instance, or None."""
    if instance.state == "exited" and instance.ended is not None and not instance.ended.rebooted:
        if instance.ended.fatal:
            return instance.ended.what
        if instance.failures >= START_ATTEMPTS or not restarts(instance, goal.restarting):
            times = "twice" if instance.failures == 2 else f"{instance.failures} times"
            often = "" if instance.failures <= 1 else f" ({times} in a row)"
            return f"{instance.id} did not stay up: {instance.ended.what}{often}"
    if instance.state in ("starting", "unready") and now >= instance.since + goal.grace:
        why = f": {instance.probe_error}" if instance.probe_error else ""
        return f"{instance.id} was not ready within {goal.grace:g} s{why}"
    return None
