"""Why a service is not well: facts in, sentences out. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.deploying import stagewords
from fourfold.control.goals import described, moves, pattern_of
from fourfold.control.reporting.status import deployment_view, exit_view
from fourfold.control.scaling.status import falls_short, told
from fourfold.control.scaling.view import ScalingView
from fourfold.launch.vm import CUT_OFF
from fourfold.plan.restart import is_crash_loop
from fourfold.store.model import Deployment, Event, InstanceRow, ServiceRow

_ENDINGS = {"error": "with an error", "timeout": "timed out", "crash": "crashed", "oom": "out of memory"}
_UNBUILT, _BUILD = "is not in the store", "build it again: fourfold up"
_LACKS = "see what this machine lacks by now: fourfold doctor --offline"
_ELSEWHERE = re.compile(r"instead of \$PORT|must listen on \$HOST")
"""As `diagnose` says it."""
_NEEDED = re.compile(r"(?:not begun:|it depends on) ([^ ,]+)")
"""As `plan.verdict` says it."""
_LISTEN = "make the program listen on $PORT (and the address in $HOST)"
_TAKEN = re.compile("address already in use|EADDRINUSE", re.IGNORECASE)
_ADVICE = (
    (
        re.compile("read-only file system|unable to open database file", re.IGNORECASE),
        "write to a volume or to /tmp: what it runs from can only be read",
    ),
    (
        re.compile("error while loading shared libraries"),
        "put the library into the source and its folder into LD_LIBRARY_PATH, or use a base that has it",
    ),
    (
        re.compile("did not ask for an event within"),
        "raise resources.memory: a sandbox has CPU in proportion to its memory",
    ),
)
"""What last lines mean, as the system, SQLite, ld.so and our invokers say it."""


@dataclass(frozen=True)
class Case:
    """All that is known of one service."""

    row: ServiceRow
    desired: int
    instances: Sequence[InstanceRow]
    dead: Sequence[InstanceRow]
    """Those that are gone for good, newest first."""
    deployment: Deployment | None
    waiting_for: str | None
    probe_errors: Mapping[str, str]
    """Instance -> what its probe said last; none where all is well."""
    limits_missing: dict[str, str]
    memory_limit: Callable[[InstanceRow], int | None]
    """Bytes that the program of this instance may take."""
    last_lines: Sequence[str]
    last_lines_of: str | None = None
    """The instance that wrote them."""
    halted: Mapping[str, int] = field(default_factory=dict)
    """Instance -> its process, where a signal or a debugger has stopped that."""
    unserved: str | None = None
    """Why the gateway does not serve its routes."""
    unsettled: Collection[str] = ()
    """Ids of instances that run again after they ended, and not yet for long."""
    is_forwarded: bool = False
    """Its machines have no network but what is forwarded."""
    group: v.ServiceView | None = None
    """The group that it lives in."""
    job: v.JobView | None = None
    """Of one that runs to its end."""
    events_waiting: int = 0
    events_refused: str = ""
    """Why the last one of these was not taken; empty: they are on their way."""
    events_given_up: int = 0
    failed_build: Event | None = None
    """Of the last change of its source, none of which is served."""
    hooks: Sequence[str] = ()
    """What is wrong with webhooks of its app."""
    step: v.StepView | None = None
    """Where its deployment is that goes by steps."""
    maintenance: v.MaintenanceView | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    """Of a function, since its invokers started: how many there were, and how many ended in each way."""
    scaling: ScalingView | None = None
    """Where its file lets its load say how many there are."""

    @property
    def attempt(self) -> Deployment | None:
        """Its deployment, if that is under way or has failed."""
        ended = self.deployment is None or self.deployment.state in ("done", "superseded")
        return None if ended else self.deployment


def telling(unwell: Sequence[InstanceRow], dead: Sequence[InstanceRow], last: Deployment | None) -> InstanceRow | None:
    """Whose last lines say most; None when nothing has happened. `dead`: newest first; `last`: its last deployment.

    What a failed deployment has started may have ended before an instance that was told to make room for it.
    """
    ill = [each for each in unwell if each.state not in ("draining", "stopping", "killing")]
    if ill:
        return ill[-1]
    gone = [*reversed(unwell), *dead]
    return next((each for each in gone if has_failed(each, last)), next(iter(gone), None))


def has_failed(row: InstanceRow, last: Deployment | None) -> bool:
    """Whether it was started by the last deployment, which failed."""
    if last is None or last.state not in ("failed", "rolling-back", "rolled-back"):
        return False
    return (row.release, row.pattern) == (last.release, last.pattern)


def explain(case: Case) -> v.ExplainView:
    findings: list[str] = []
    todo: list[str] = []
    _deployment(case, findings, todo)
    _group(case, findings, todo)
    _gateway(case, findings, todo)
    _instances(case, findings, todo)
    _job(case, findings, todo)
    ready = sum(row.state == "ready" for row in case.instances)
    well = ready >= case.desired and not findings
    if not well:
        _last_lines(case, todo)
    moves_on = case.step is not None and len(findings) == 1
    _build(case, findings, todo)
    _maintenance(case, findings, todo)
    _events(case, findings, todo)
    _limits(case, findings, todo)
    _kept(case, findings, todo)
    _scaling(case, well, findings, todo)
    findings += case.hooks
    return v.ExplainView(
        service=case.row.name,
        well=well,
        summary=_summary(case, ready, well, moves_on),
        findings=findings,
        what_to_do=list(dict.fromkeys(todo)),
        deployment=deployment_view(case.deployment, case.step),
        exits=[view for row in (*case.instances, *case.dead)[:10] if (view := _exit(row))],
        probe_error=next(iter(case.probe_errors.values()), None),
        last_lines=list(case.last_lines),
        last_lines_of=case.last_lines_of,
    )


def _last_lines(case: Case, todo: list[str]) -> None:
    todo += [advice for said, advice in _ADVICE if any(map(said.search, case.last_lines))]
    if any(map(_TAKEN.search, case.last_lines)):
        unnamed = "give it a `port` in the file (without one there is no $PORT), and "
        named = case.row.internal_port is not None
        todo.append(f"{'' if named else unnamed}{_LISTEN}: the port that it took by itself is another program's")


def _exit(row: InstanceRow) -> v.PastExitView | None:
    ended = exit_view(row)
    if row.exit is None or ended is None:
        return None
    return v.PastExitView(**ended.model_dump(), instance=row.id, asked=row.exit.get("asked", False))


def _summary(case: Case, ready: int, well: bool, moves_on: bool) -> str:
    """`moves_on`: nothing is to be said of it but that it is at a step of its deployment."""
    name = case.row.name
    if case.row.stopped:
        return f"{name} is stopped"
    if case.group is not None and case.group.stopped:
        return f"{name} is stopped, with its group {case.group.name}"
    if case.job is not None:
        under_way = f"{case.job.running} run{'s' if case.job.running != 1 else ''} under way"
        return f"{name} is a job: {under_way}" + ("" if well else "; not all is well")
    serves = _serves(case, ready)
    if well:
        return f"{name} is well: {serves}"
    if ready < case.desired:
        return f"{name} is not well: {serves}"
    return f"{name} serves, {'and is being deployed' if moves_on else 'but not all is well'}: {serves}"


def _serves(case: Case, ready: int) -> str:
    releases = Counter(row.release for row in case.instances if row.state == "ready")
    if len(releases) < 2:
        return f"{ready} of {case.desired} instances of release {case.row.release} ready"
    each = " and ".join(f"{count} of release {release}" for release, count in sorted(releases.items()))
    return f"{each} ready, {case.desired} are wanted"


def _build(case: Case, findings: list[str], todo: list[str]) -> None:
    if (failed := case.failed_build) is not None:
        why = failed.message.partition("\n")[0]
        findings.append(f"its last build, at {rfc3339(failed.at)}, failed; nothing of it was deployed: {why}")
        todo += [hint] if (hint := failed.data.get("hint")) else []
        todo.append("read what it printed: fourfold events --kind build.log")
        todo.append(f"mend it, then: fourfold deploy {case.row.name}")


def _maintenance(case: Case, findings: list[str], todo: list[str]) -> None:
    if (found := case.maintenance) is not None:
        what = "all of the app is" if found.whole_app else "it is"
        by = f" by {found.actor}" if found.actor else ""
        findings.append(f"{what} in maintenance since {found.since}{by}: the gateway answers a page in its place")
        todo.append("fourfold maintenance off" + ("" if found.whole_app else f" {case.row.name}"))


def _deployment(case: Case, findings: list[str], todo: list[str]) -> None:
    deployment = case.attempt
    if case.row.stopped:
        todo.append(f"fourfold restart {case.row.name} starts it again")
    if case.waiting_for:
        findings.append(f"it waits for {case.waiting_for}")
    if deployment is None:
        return
    if deployment.state == "running":
        at = f": {stagewords.progress(case.step)}" if case.step is not None else ""
        findings.append(f"{described(deployment)} is being deployed{at}")
        if case.step is not None:
            todo.append(f"go on at once: {stagewords.promote(deployment)}")
            todo.append(f"take it back: fourfold deploy {deployment.service} --abort")
        return
    before = f"release {case.row.release}" + (f" as {pattern_of(case.row)}" if moves(deployment) else "")
    went = {"rolled-back": f"{before} serves on", "rolling-back": f"going back to {before}"}
    ended = went.get(
        deployment.state, "nothing of it was kept" if not deployment.previous else "it was left as it stood"
    )
    findings.append(f"the deployment of {described(deployment)} failed: {deployment.reason}; {ended}")
    reason = deployment.reason or ""
    if needed := _NEEDED.search(reason):
        todo.append(f"see: fourfold explain {needed[1].removeprefix(f'{case.row.app}.')}")
    if _UNBUILT in reason:
        todo.append(_BUILD)
    elif deployment.aborted is None:
        to = f" --as {deployment.pattern}" if moves(deployment) else ""
        todo.append(f"mend the cause, then: fourfold deploy {case.row.name}{to}")
    _where_it_listens(reason, todo)
    if "was not ready within" in reason and not _ELSEWHERE.search(reason):
        without = ", as without KVM" if deployment.pattern == "vm" else ""
        todo.append(f"or, if its start only takes longer{without}, raise health.grace")


def _where_it_listens(reason: str, todo: list[str]) -> None:
    if _ELSEWHERE.search(reason):
        todo.append(_LISTEN)


def _group(case: Case, findings: list[str], todo: list[str]) -> None:
    """A member is where its group is."""
    group = case.group
    if group is None or case.row.stopped or (group.ready >= group.desired > 0):
        return
    if group.stopped:
        todo.append(f"fourfold restart {group.name} starts it again")
    elif group.desired == 0:
        findings.append(f"its group {group.name} is to have no instances")
        todo.append(f"fourfold scale {group.name}=1")
    else:
        findings.append(f"{group.ready} of {group.desired} instances of its group {group.name} are ready")
        todo.append(f"see: fourfold explain {group.name}")


def _gateway(case: Case, findings: list[str], todo: list[str]) -> None:
    if case.unserved:
        findings.append(f"the gateway does not serve its routes: {case.unserved}")
        last = "read what the gateway says: fourfold logs --previous gateway"
        todo.append(_LACKS if "cannot start" in case.unserved else last)


def _instances(case: Case, findings: list[str], todo: list[str]) -> None:
    name = case.row.name
    for row in case.instances:
        loops = is_crash_loop(row.failures)
        again = row.id in case.unsettled and (row.state in ("starting", "unready") or (loops and row.state == "ready"))
        if row.exit is not None and (row.state == "exited" or again):
            loop = f" ({row.failures} times in a row: a crash loop)" if loops else ""
            findings.append(f"{row.id} {'runs again after it ' if again else ''}ended: {row.exit['reason']}{loop}")
            todo.append(_about_its_end(row.exit["reason"], name))
        if row.state == "killing":
            findings.append(f"{row.id} was killed and has not ended yet")
            todo.append(f"if that lasts, the kernel keeps its process: cat /proc/{row.pid}/stack")
    _probes(case, findings, todo)
    tried = {case.row.release, case.attempt.release if case.attempt is not None else case.row.release}
    newest = [row for row in (*case.instances, *case.dead) if row.exit is not None and row.release in tried]
    killed = next((row for row in newest[:3] if row.exit is not None and row.exit["oom"]), None)
    if killed is not None:
        most = case.memory_limit(killed)
        limit = f"{most // 2**20} MiB" if most else "the host's"
        findings.append(f"it reached its memory limit ({limit}) and was killed")
        todo.append("raise resources.memory, or find out what it keeps")
    if findings and any("Read-only file system" in line for line in case.last_lines):
        own_root = pattern_of(case.row) == "container"
        todo.append("write to /tmp or a volume" + (", or set `container: {read_only: false}`" if own_root else ""))


def _about_its_end(reason: str, name: str) -> str:
    if not reason.startswith("cannot "):
        return f"read its last lines: fourfold logs --previous {name}"
    return _BUILD if _UNBUILT in reason else _LACKS


def _probes(case: Case, findings: list[str], todo: list[str]) -> None:
    name = case.row.name
    fallen = {row.id for row in case.instances if row.state == "unready"}
    for instance, error in case.probe_errors.items():
        findings.append(f"the health probe of {instance} says: {error}")
        _where_it_listens(error, todo)
        if instance in fallen and instance not in case.halted:
            todo.append(f"read what it says: fourfold logs {name}")
            todo.append(f"if it hangs: fourfold restart {name} (with `live: {{…}}` in the file that is done by itself)")
    for instance, pid in case.halted.items():
        findings.append(f"{instance} stands still: a signal or a debugger has stopped its process {pid}")
        todo.append(f"let it go on: kill -CONT {pid}")


def _job(case: Case, findings: list[str], todo: list[str]) -> None:
    last = case.job.last if case.job is not None else None
    if last is not None and last.state != "ok":
        findings.append(f"its last run {last.id} ended so: {last.state}: {last.reason}")
        todo.append(f"read what it wrote: fourfold logs {case.row.name}")
        todo.append(f"run it again: fourfold run {case.row.name}")


def _events(case: Case, findings: list[str], todo: list[str]) -> None:
    """Of a function: some may fail while it is well itself."""
    counts = {word: count for kind, word in _ENDINGS.items() if (count := case.events.get(kind, 0))}
    if counts:
        ways = ", ".join(f"{count} {word}" for word, count in counts.items())
        all_of_them = case.events["invocations"]
        findings.append(f"{sum(counts.values())} of {all_of_them} events failed since its invokers started: {ways}")
        todo.append(f"read what it printed: fourfold logs {case.row.name}")
    if refused := case.events.get("throttled", 0):
        findings.append(f"{refused} events were refused: too many at once")
        todo.append("raise function.concurrency or function.queue")
    if unmade := case.events.get("start_failures", 0):
        findings.append(f"{unmade} times no sandbox could be made")
        todo.append(f"the host's reason: fourfold logs {case.row.name} (lines with [fourfold])")


def _limits(case: Case, findings: list[str], todo: list[str]) -> None:
    for limit, why in case.limits_missing.items():
        findings.append(f"its limit on {limit} is not enforced here: {why}")
    if case.limits_missing:
        todo.append("fourfold doctor tells what this host lacks")
    if case.is_forwarded:
        findings.append(f"its virtual machine {CUT_OFF}")
        todo.append("if it calls others: run it as a process, or the daemon as root")


def _scaling(case: Case, well: bool, findings: list[str], todo: list[str]) -> None:
    """Of one that is not well, only what may be why."""
    if case.scaling is not None and (well or falls_short(case.scaling)):
        found, advice = told(case.scaling, case.row.name, case.desired)
        findings += found
        todo += advice


def _kept(case: Case, findings: list[str], todo: list[str]) -> None:
    """Events that are on disk until they are delivered, and those that could not be."""
    if case.events_refused:
        why = f"the last time it could not take one: {case.events_refused}"
        findings.append(f"{case.events_waiting} of its events wait; {why}")
    if case.events_given_up:
        findings.append(f"{case.events_given_up} of its events were given up")
        todo.append(f"see them: fourfold events --failed {case.row.name}")
        todo.append(f"deliver them again: fourfold events replay --all {case.row.name}")
