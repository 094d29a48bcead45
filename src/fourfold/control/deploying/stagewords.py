"""What is said of a deployment at a step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # commands say these words too, and are not to wait for all of that
    from fourfold.control import views as v
    from fourfold.plan import model as m
    from fourfold.spec.deploy import Deploy
    from fourfold.store.model import Deployment


def strategy(deploy: Deploy) -> str | None:
    """`canary: 5 % for 60 s, 50 % until it is promoted`; None: it has no steps."""
    if deploy.strategy == "blue-green":
        return "blue-green: switches " + ("when all are ready" if deploy.promote == "auto" else "on --promote")
    if deploy.strategy != "canary":
        return None
    steps = (
        f"{step.weight} % " + (f"for {step.pause:g} s" if step.pause is not None else "until it is promoted")
        for step in deploy.stages
    )
    return f"canary: {', '.join(steps)}"


def at(deployment: Deployment, steps: tuple[m.Step, ...]) -> str:
    """`step 1 of 3: 5 % of the requests`; of blue-green what is there."""
    if steps[deployment.step].weight == 0:
        return f"release {deployment.release} is ready beside the one that serves, and gets no requests yet"
    of = f"step {deployment.step + 1} of {len(steps)}" if len(steps) > 1 else "its only step"
    return f"{of}: {steps[deployment.step].weight} % of the requests"


def began(deployment: Deployment, steps: tuple[m.Step, ...], judging: m.Judging) -> str:
    """With what it stays there for."""
    step = steps[deployment.step]
    if step.pause is None:
        return f"{at(deployment, steps)}; waits for `{promote(deployment)}`"
    least = f", and at least {judging.min_requests} requests" if judging.min_requests and step.weight else ""
    return f"{at(deployment, steps)}, for {step.pause:g} s{least}" if step.pause or least else at(deployment, steps)


def promote(deployment: Deployment) -> str:
    return f"fourfold deploy {deployment.service} --promote"


def data(deployment: Deployment, steps: tuple[m.Step, ...]) -> dict[str, Any]:
    """For programs that follow."""
    step = steps[deployment.step]
    return {"step": deployment.step + 1, "steps": len(steps), "weight": step.weight, "pause": step.pause}


def view(
    deployment: Deployment, rollout: m.Rollout, answered: tuple[m.Answered, m.Answered], now: float
) -> v.StepView | None:
    """None: it is at no step."""
    from fourfold.control.views import StepView

    if deployment.state != "running" or deployment.step >= len(rollout.steps):
        return None
    step, (new, old) = rollout.steps[deployment.step], answered
    left = None
    if deployment.step_at is not None and step.pause is not None:
        left = round(max(0.0, deployment.step_at + step.pause - now), 1)
    return StepView(
        step=deployment.step + 1,
        steps=len(rollout.steps),
        weight=step.weight,
        begun=deployment.step_at is not None,
        manual=step.pause is None,
        seconds_left=left,
        requests=new.requests,
        errors=new.errors,
        old_requests=old.requests,
        old_errors=old.errors,
        min_requests=rollout.judging.min_requests if step.weight else 0,
        max_errors=rollout.judging.max_errors,
        waits_for=_waits_for(deployment, rollout, new, left),
    )


def _waits_for(deployment: Deployment, rollout: m.Rollout, new: m.Answered, left: float | None) -> str:
    if deployment.step_at is None:
        return "its instances to be ready"
    if deployment.promoted:
        return "its instances to be ready again"
    if left is None:
        return f"`{promote(deployment)}` (or `--abort`)"
    if left > 0:
        return f"{left:.0f} s to pass"
    if new.requests < rollout.judging.min_requests:
        more = _requests(rollout.judging.min_requests - new.requests).replace(" ", " more ")
        return f"{more} (or `{promote(deployment)}`)"
    return "its instances to be ready again"


def _requests(count: int) -> str:
    return f"{count} request{'s' if count != 1 else ''}"


def progress(view: v.StepView) -> str:
    """One line: `step 1 of 3 (5 %): 120 requests, 0 failed (old: 2280, 1 failed); waits for 34 s to pass`."""
    if not view.weight:
        return f"beside the release that serves; waits for {view.waits_for}"
    of = f"step {view.step} of {view.steps} ({view.weight} %)"
    seen = f"{_requests(view.requests)}, {view.errors} failed (old: {view.old_requests}, {view.old_errors} failed)"
    return f"{of}: {seen if view.begun else 'not begun'}; waits for {view.waits_for}"
