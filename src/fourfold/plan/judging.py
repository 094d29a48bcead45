"""Whether the new revision of a rollout with steps answers as well as the old one."""

from __future__ import annotations

import math

from fourfold.plan.model import Answered, Deploying, Goal

DOUBT = 0.001
"""A new revision is given up before its step is over when so many errors had no greater chance to come about in one
that is just good enough."""


def at_step(goal: Goal) -> Deploying | None:
    """The deployment, while it has steps before it."""
    deploying = goal.deploying
    if deploying is None or deploying.rolling_back or deploying.step >= len(goal.rollout.steps):
        return None
    return deploying


def failed_at_step(goal: Goal) -> bool:
    """It goes back from what was to have a part of the requests only."""
    deploying = goal.deploying
    return deploying is not None and deploying.rolling_back and deploying.step < len(goal.rollout.steps)


def holds(goal: Goal) -> bool:
    """It stays at a step on purpose: nothing has to happen for as long as that takes."""
    deploying = at_step(goal)
    return deploying is not None and deploying.step_since is not None


def fault(goal: Goal, now: float) -> str | None:
    """Why it must not get any more requests, or None."""
    deploying = at_step(goal)
    if deploying is None or not 0 < deploying.new.errors <= deploying.new.requests:
        return None
    new, allowed = deploying.new, _allowed(goal, deploying)
    sure = new.errors > allowed * new.requests and _chance(new, allowed) < DOUBT
    if sure or (_is_over(goal, deploying, now) and _rate(new) > allowed):
        beside = f"{_shown(deploying.old)} to the old one did, and " if deploying.old.requests else ""
        return f"{_shown(new)} to the new release failed ({beside}{_percent(allowed)} may)"
    return None


def passed(goal: Goal, now: float) -> bool:
    """Whether a step that has begun is over; its faults are looked for before."""
    deploying = at_step(goal)
    return deploying is not None and _is_over(goal, deploying, now)


def over_at(goal: Goal) -> float | None:
    """When its pause is over; None: it has none, or has not begun."""
    deploying = at_step(goal)
    pause = goal.rollout.steps[deploying.step].pause if deploying is not None else None
    if deploying is None or deploying.step_since is None or pause is None:
        return None
    return deploying.step_since + pause


def _is_over(goal: Goal, deploying: Deploying, now: float) -> bool:
    at = over_at(goal)
    if at is None or now < at:
        return False
    unasked = goal.rollout.steps[deploying.step].weight == 0
    return unasked or deploying.new.requests >= goal.rollout.judging.min_requests


def _allowed(goal: Goal, deploying: Deploying) -> float:
    """What fails for the old one too is nothing that the new one has brought; but that must have been asked so often
    that its rate is not that of one error."""
    judging = goal.rollout.judging
    least = max(judging.min_requests, 1 / judging.max_errors if judging.max_errors else 1)
    return max(judging.max_errors, _rate(deploying.old) if deploying.old.requests >= least else 0.0)


def _rate(answered: Answered) -> float:
    return answered.errors / answered.requests if answered.requests else 0.0


def _chance(answered: Answered, rate: float) -> float:
    """That so many or more requests fail when each fails at this rate: the upper tail of the binomial distribution."""
    if rate <= 0.0:
        return 0.0
    if rate >= 1.0:
        return 1.0
    n = answered.requests
    common = math.lgamma(n + 1)
    total = 0.0
    for k in range(answered.errors, n + 1):
        term = math.exp(
            common - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(rate) + (n - k) * math.log1p(-rate)
        )
        total += term
        if total >= DOUBT or term < DOUBT * 1e-6:
            break  # beyond the mean, which is where this begins, terms only get smaller
    return total


def _shown(answered: Answered) -> str:
    return f"{answered.errors} of {answered.requests} requests"


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
