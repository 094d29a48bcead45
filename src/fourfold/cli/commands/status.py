"""`fourfold status`: every service, its instances and where to reach it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Option
from fourfold.cli.printing import formats, output
from fourfold.cli.printing.watch import watch
from fourfold.cli.session import Session
from fourfold.control.deploying.stagewords import progress

if TYPE_CHECKING:
    from fourfold.control.scaling.view import ScalingView
    from fourfold.control.views import InstanceView, JobView, SandboxesView, ServiceView, StatusView

COLOURS = {"ready": "green", "stopped": "dim", "failed": "red", "crash-loop": "red", "degraded": "yellow"}


def command(
    ctx: click.Context,
    again: Annotated[bool, Option("--watch", "-w", help="Show it again every second until Ctrl-C.")] = False,
) -> None:
    """Show every service, its instances and where to reach it."""
    session = Session.of(ctx)

    def show() -> list[str]:
        view: StatusView = session.client.get(f"/v1/apps/{session.app}")
        return page(view, session.options.verbose)

    if again:
        watch(show, session.options)
    elif session.options.json:
        output.as_json(session.client.get(f"/v1/apps/{session.app}"))
    else:
        output.data("\n".join(output.shade(show(), COLOURS, session.options)))


def page(view: StatusView, verbose: bool) -> list[str]:
    """The whole answer as lines."""
    header = ("SERVICE", "PATTERN", "RELEASE", "READY", "STATE", "CPU", "MEMORY", "RESTARTS", "ROUTES")
    rows = [
        (
            service.name,
            _pattern(service),
            str(service.release),
            _ready(service),
            state(service),
            formats.seconds(_sum(instance.cpu_seconds for instance in service.instances)),
            _memory(service),
            str(sum(instance.restarts for instance in service.instances)),
            " ".join(service.routes) or "-",
        )
        for service in view.services
    ]
    where = f" at {view.gateway}" if view.gateway else ""
    lines = [f"{view.app}{where}", ""]
    if view.gateway_problem:
        lines[1:1] = [f"the gateway does not serve it: {view.gateway_problem}"]
    lines += formats.table(header, rows, frozenset({"RELEASE", "READY", "CPU", "MEMORY", "RESTARTS"}))
    if notes := [note for service in view.services for note in _notes(service)]:
        lines += ["", *notes]
    if view.not_in_file:
        lines += ["", f"not in the file any more: {', '.join(view.not_in_file)} (`fourfold up --prune` removes)"]
    if verbose:
        lines += ["", *_instances(view)]
    return lines


def state(service: ServiceView) -> str:
    """One word for how a service is."""
    if service.stopped:
        return "stopped"
    if service.job is not None and service.deployment.state == "done":
        return "running" if service.job.running else "job"
    if service.deployment.state in ("running", "rolling-back"):
        return "deploying" if service.deployment.state == "running" else "rolling-back"
    if any(instance.state == "crash-loop" for instance in service.instances):
        return "crash-loop"
    if service.deployment.state == "failed" and service.ready < service.desired:
        return "failed"
    return "ready" if service.ready >= service.desired else "degraded"


def _notes(service: ServiceView) -> list[str]:
    notes = []
    if service.deployment.reason and service.deployment.state in ("failed", "rolled-back", "rolling-back"):
        what = "failed" if service.deployment.state == "failed" else "failed and was rolled back"
        notes.append(f"last deploy {what}: {service.deployment.reason} (`fourfold explain {service.name}`)")
    elif service.deployment.step is not None:
        notes.append(progress(service.deployment.step))
    elif state(service) in ("crash-loop", "degraded"):
        exits = [instance.exit.reason for instance in service.instances if instance.exit is not None]
        why = f": {exits[-1]}" if exits else ""
        notes.append(f"{service.ready} of {service.desired} ready{why} (`fourfold explain {service.name}`)")
    if service.overrides:
        said = ", ".join(f"{key} {value}" for key, value in service.overrides.items())
        notes.append(f"set by a command, not by the file: {said} (`fourfold up --reset` forgets)")
    if (maintenance := service.maintenance) is not None:
        since = formats.clock(maintenance.since, formats.utc_now())
        whole = "all of the app" if maintenance.whole_app else "it"
        by = f", by {maintenance.actor}" if maintenance.actor else ""
        off = "" if maintenance.whole_app else f" {service.name}"
        notes.append(f"{whole} is in maintenance since {since}{by} (`fourfold maintenance off{off}` ends it)")
    if service.job is not None:
        notes.append(_job(service.job))
    if service.scaling is not None:
        notes += _scaling(service.scaling, service.desired)
    notes += [f"{limit} is not limited: {why}" for limit, why in service.limits_missing.items()]
    return [f"{service.name}: {note}" for note in notes]


def _ready(service: ServiceView) -> str:
    """`3/3`; `3/3 (2-8)` where its load says how many there are."""
    if service.job is not None:
        return "-"
    ready, scaling = f"{service.ready}/{service.desired}", service.scaling
    return f"{ready} ({scaling.min}-{scaling.max})" if scaling is not None and scaling.active else ready


def _scaling(view: ScalingView, desired: int) -> list[str]:
    """Why it has so many; that a command has the say, stands with the overrides."""
    if not view.active:
        return [f"not scaled by its load: {view.inactive_why}"] if view.inactive_why else []
    notes = []
    if view.since is not None:
        notes.append(
            f"{formats.count(desired, 'instance')}, scaled {formats.ago(view.since, formats.utc_now())}: {view.why}"
        )
    if view.asked is not None and view.asked > view.max:
        notes.append(f"its load is for {view.asked} instances, and instances.max is {view.max}: {view.now}")
    return notes


def _job(job: JobView) -> str:
    """`1 run under way; the last one ok, 3 min ago, in 2 s; the next one at 03:00:00`."""
    now = formats.utc_now()
    said = [f"{formats.count(job.running, 'run')} under way"] if job.running else []
    if (last := job.last) is not None:
        why = f" ({last.reason})" if last.reason else ""
        said.append(f"the last one {last.state}{why}, {formats.ago(last.created_at, now)}")
    else:
        said.append("no run has ended yet")
    if job.next_at is not None:
        said.append(f"the next one at {formats.clock(job.next_at, now)}")
    return "; ".join(said)


def _pattern(service: ServiceView) -> str:
    """`shared (webapps)`, `group (tomcat)`."""
    more = service.group or service.kind
    return f"{service.pattern} ({more})" if more else service.pattern


def _instances(view: StatusView) -> list[str]:
    header: tuple[str, ...] = (
        "INSTANCE",
        "PATTERN",
        "STATE",
        "ADDRESS",
        "PID",
        "STARTED",
        "READY AFTER",
        "RESTARTS",
        "LAST EXIT",
    )
    found = [instance for service in view.services for instance in service.instances]
    rows: list[tuple[str, ...]] = [_instance(instance) for instance in found]
    if any(instance.host for instance in found):
        header = (*header[:3], "HOST", *header[3:])
        rows = [(*row[:3], _short(instance.host), *row[3:]) for row, instance in zip(rows, found, strict=True)]
    return formats.table(header, rows, frozenset({"PID", "READY AFTER", "RESTARTS"}))


def _short(instance: str | None) -> str:
    return instance.partition(".")[2] if instance else "-"


def _instance(instance: InstanceView) -> tuple[str, ...]:
    return (
        instance.id.partition(".")[2],
        instance.pattern,
        instance.state + _sandboxes(instance.sandboxes),
        instance.address or "-",
        str(instance.pid or "-"),
        formats.ago(instance.started_at, formats.utc_now()) if instance.started_at else "-",
        formats.seconds(instance.ready_after),
        str(instance.restarts),
        instance.exit.reason if instance.exit else "-",
    )


def _sandboxes(view: SandboxesView | None) -> str:
    """` (2 busy, 1 frozen; 3 events waiting)`."""
    if view is None:
        return ""
    waiting = f"; {formats.count(view.waiting, 'event')} waiting" if view.waiting else ""
    return f" ({', '.join(f'{count} {state}' for state, count in view.states.items()) or 'no sandbox'}{waiting})"


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _memory(service: ServiceView) -> str:
    """`30 MiB`; `~30 MiB` where some of it is estimated."""
    total = _sum(instance.memory_bytes for instance in service.instances)
    guess = any(instance.memory == "estimated" for instance in service.instances)
    return "~" * guess + formats.size(None if total is None else int(total))
