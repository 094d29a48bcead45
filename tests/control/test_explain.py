"""What is said of a service in each state it may be in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.control import views as v
from fourfold.control.deploying import stagewords
from fourfold.control.reporting.explain import Case, explain, telling
from fourfold.control.reporting.status import deployment_text
from fourfold.control.scaling.view import ScalingView
from fourfold.control.views import ExplainView, ServiceView
from fourfold.plan import model as m
from fourfold.store.model import Event
from tests.api.sample import run_view
from tests.store.samples import deployment, instance, service_row


def explained(**given: Any) -> ExplainView:
    fields: dict[str, Any] = {
        "row": service_row(),
        "desired": 1,
        "instances": [instance("shop.web-1-a")],
        "dead": [],
        "deployment": deployment(),
        "waiting_for": None,
        "probe_errors": {},
        "limits_missing": {},
        "memory_limit": lambda row: None,
        "last_lines": [],
    }
    return explain(Case(**(fields | given)))


def test_what_a_machine_without_a_bridge_cannot_is_said() -> None:
    view = explained(is_forwarded=True)
    assert view.well and "only root can give it a network" in view.findings[0] and view.what_to_do


def test_well() -> None:
    view = explained()
    assert (view.well, view.summary) == (True, "web is well: 1 of 1 instances of release 1 ready")
    failing = explained(hooks=["the webhook at https://x.example takes no events"])
    assert (failing.well, failing.findings) == (True, ["the webhook at https://x.example takes no events"])


def test_what_the_gateway_does_not_serve_is_not_well() -> None:
    view = explained(unserved="it does not run: exit code 1")
    assert view.summary.startswith("web serves, but not all is well")
    assert view.findings == ["the gateway does not serve its routes: it does not run: exit code 1"]
    assert view.what_to_do == ["read what the gateway says: fourfold logs --previous gateway"]


def test_a_build_that_failed() -> None:
    said = "cannot build web: pip found no six==9\nmore of it"
    failed = Event(7, 1_000_000.0, "shop", "web", None, "build.failed", said, None, {"hint": "name another version"})
    view = explained(failed_build=failed)
    assert (view.well, view.summary) == (True, "web is well: 1 of 1 instances of release 1 ready")
    (finding,) = view.findings
    assert finding.startswith("its last build, at 1970-01-12T13:46:40") and finding.endswith("no six==9")
    assert view.what_to_do[0] == "name another version" and view.what_to_do[-1].endswith("fourfold deploy web")


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("process", "write to /tmp or a volume"),
        ("container", "write to /tmp or a volume, or set `container: {read_only: false}`"),
    ],
)
def test_a_program_that_writes_where_it_cannot(pattern: str, advice: str) -> None:
    said = ['mkdir() "/var/lib/nginx/body" failed (30: Read-only file system)']
    row = service_row(pattern=pattern)
    failed = deployment(state="failed", reason="exit code 1")
    assert advice in explained(row=row, deployment=failed, last_lines=said).what_to_do
    assert explained(row=row, last_lines=said).what_to_do == []


def test_at_a_step_it_says_who_serves() -> None:
    at = deployment(state="running", release=2, step_at=1.0)
    step = stagewords.view(at, m.Rollout(steps=(m.Step(5),)), (m.Answered(), m.Answered()), 2.0)
    there = [instance("o"), instance("n", release=2)]
    serves = "1 of release 1 and 1 of release 2 ready, 1 are wanted"
    assert (
        explained(deployment=at, step=step, instances=there).summary == f"web serves, and is being deployed: {serves}"
    )
    ill = explained(deployment=at, step=step, instances=there, probe_errors={"shop.web-2-b": "503"})
    assert ill.summary == f"web serves, but not all is well: {serves}"


@pytest.mark.parametrize(
    ("whole", "todo"), [(True, "fourfold maintenance off"), (False, "fourfold maintenance off web")]
)
def test_maintenance_is_told_though_all_is_well(whole: bool, todo: str) -> None:
    page = v.MaintenanceView(since="2026-11-22T08:00:00Z", actor="ann", retry_after=60, allowed=[], whole_app=whole)
    view = explained(maintenance=page)
    assert (view.well, view.what_to_do) == (True, [todo])
    assert "in maintenance since 2026-11-22T08:00:00Z by ann" in view.findings[0]


@pytest.mark.parametrize(
    ("given", "finding", "what_to_do"),
    [
        ({}, [], []),
        ({"stopped": True, "desired": 0}, [], ["fourfold restart pages starts it again"]),
        ({"desired": 0}, ["its group pages is to have no instances"], ["fourfold scale pages=1"]),
        (
            {"ready": 0},
            ["0 of 1 instances of its group pages are ready"],
            ["see: fourfold explain pages"],
        ),
    ],
)
def test_a_member_is_where_its_group_is(given: dict[str, Any], finding: list[str], what_to_do: list[str]) -> None:
    fields: dict[str, Any] = {
        "name": "pages", "pattern": "group", "target": "local", "release": 1, "desired": 1, "ready": 1,
        "stopped": False, "overrides": {}, "deployment": {"state": "done", "reason": None}, "routes": [], "urls": [],
        "limits_missing": {}, "instances": [], "kind": "node",
    }  # fmt: skip
    view = explained(group=ServiceView.model_validate(fields | given))
    assert (view.findings, view.what_to_do, view.well) == (finding, what_to_do, not finding)


def test_after_a_deployment_that_was_rolled_back() -> None:
    view = explained(deployment=deployment(release=2, state="rolled-back", reason="exit code 3"))
    assert (view.well, view.summary) == (
        False,
        "web serves, but not all is well: 1 of 1 instances of release 1 ready",
    )
    assert view.findings == ["the deployment of release 2 failed: exit code 3; release 1 serves on"]
    assert view.what_to_do == ["mend the cause, then: fourfold deploy web"]
    aborted = deployment(release=2, state="rolled-back", reason="aborted by ann", aborted="ann")
    assert explained(deployment=aborted).what_to_do == []


def test_what_its_load_asks_for_is_told_of_one_that_is_well_or_has_too_few() -> None:
    scaling = ScalingView(
        min=1, max=4, per_instance={"rps": 50}, active=True, inactive_why=None, since=None, why="",
        now="190 requests per second, 50 for each instance", looked_at=None, asked=None,
    )  # fmt: skip
    said = "its load says how many there are, from 1 to 4 at 50 rps"
    view = explained(scaling=scaling)
    assert (view.well, view.findings[0]) == (True, said)
    assert explained(scaling=scaling, desired=2).findings == []
    view = explained(scaling=scaling.model_copy(update={"asked": 6}), desired=2)
    assert view.findings[0] == said and view.what_to_do == ["raise instances.max of web"]


def test_a_function_whose_events_fail() -> None:
    view = explained(events={"invocations": 40, "ok": 37, "error": 2, "oom": 1, "throttled": 5})
    assert view.well, "itself"
    assert view.findings == [
        "3 of 40 events failed since its invokers started: 2 with an error, 1 out of memory",
        "5 events were refused: too many at once",
    ]
    assert view.what_to_do == [
        "read what it printed: fourfold logs web",
        "raise function.concurrency or function.queue",
    ]
    assert explained(events={"invocations": 3, "ok": 3}).findings == []


@pytest.mark.parametrize(
    "reason", ["not begun: shop.db failed, and it depends on that", "it depends on shop.db, not ready after 20 s"]
)
def test_what_failed_for_another_leads_there(reason: str) -> None:
    view = explained(deployment=deployment(state="failed", reason=reason))
    assert view.what_to_do == ["see: fourfold explain db", "mend the cause, then: fourfold deploy web"]


def test_a_move_is_named() -> None:
    previous = {"pattern": "process", "overrides": {}}
    moving = deployment(state="running", pattern="container", previous=previous)
    assert explained(deployment=moving).findings == ["release 1 as container is being deployed"]
    failed = replace(moving, state="rolled-back", reason="exit code 3")
    assert explained(deployment=failed).findings == [
        "the deployment of release 1 as container failed: exit code 3; release 1 as process serves on"
    ]
    assert [deployment_text(each) for each in (moving, failed)] == [
        "as container: running", "as container: rolled-back: exit code 3",
    ]  # fmt: skip
    assert deployment_text(replace(moving, previous={})) == "running", "nothing was there before"
    back = replace(moving, pattern="process", previous={"pattern": "process", "overrides": {"pattern": "container"}})
    assert explained(deployment=back).findings == ["release 1 as process is being deployed"]


def test_a_move_that_failed_is_tried_again_as_a_move() -> None:
    late = "w was not ready within 30 s: nothing listens"
    failed = deployment(state="rolled-back", pattern="vm", previous={"pattern": "process"}, reason=late)
    assert explained(deployment=failed).what_to_do == [
        "mend the cause, then: fourfold deploy web --as vm",
        "or, if its start only takes longer, as without KVM, raise health.grace",
    ]


def test_too_few() -> None:
    view = explained(desired=2)
    assert view.summary == "web is not well: 1 of 2 instances of release 1 ready"


def test_a_job_whose_last_run_failed() -> None:
    last = run_view()
    view = explained(desired=0, instances=[], job=v.JobView(running=0, last=last, next_at=None))
    assert (view.well, view.summary) == (False, "web is a job: 0 runs under way; not all is well")
    assert view.findings == [f"its last run {last.id} ended so: failed: exit code 7"]
    assert "run it again: fourfold run web" in view.what_to_do
    well = explained(desired=0, instances=[], job=v.JobView(running=1, last=run_view(state="ok"), next_at=None))
    assert (well.well, well.summary) == (True, "web is a job: 1 run under way")


def test_events_that_wait_or_were_given_up() -> None:
    view = explained(events_waiting=7, events_refused="answered 429", events_given_up=2)
    assert view.well and view.findings == [
        "7 of its events wait; the last time it could not take one: answered 429", "2 of its events were given up",
    ]  # fmt: skip
    assert "deliver them again: fourfold events replay --all web" in view.what_to_do
    assert explained(events_waiting=7).findings == [], "they are on their way"


def ended(what: str = "exit code 4", **given: Any) -> dict[str, Any]:
    return {"code": 4, "signal": None, "oom": False, "at": 1.0, "reason": what, "asked": False} | given


@pytest.mark.parametrize(
    ("failures", "state", "unsettled", "finding"),
    [
        (3, "ready", ["w"], ["w runs again after it ended: exit code 4 (3 times in a row: a crash loop)"]),
        (1, "starting", ["w"], ["w runs again after it ended: exit code 4"]),
        (1, "exited", ["w"], ["w ended: exit code 4"]),
        (1, "ready", ["w"], []),
        (3, "ready", [], []),
    ],
)
def test_what_ended_and_runs_again(failures: int, state: str, unsettled: list[str], finding: list[str]) -> None:
    row = instance("w", state=state, failures=failures, exit=ended())
    view = explained(instances=[row], unsettled=unsettled)
    assert view.findings == finding
    assert view.well == (state == "ready" and not finding)


def test_what_does_not_even_end_when_it_is_killed_is_told() -> None:
    view = explained(instances=[instance("a", state="killing", pid=7)])
    assert view.findings == ["a was killed and has not ended yet"]
    assert view.what_to_do == ["if that lasts, the kernel keeps its process: cat /proc/7/stack"]


def test_what_had_been_ready_is_named_and_what_to_do_about_it() -> None:
    """One that only starts is not to be restarted, and one that was stopped from outside goes on by a signal."""
    there = [instance("a", state="unready"), instance("b", state="starting")]
    view = explained(instances=there, probe_errors={"a": "no answer within 1 s", "b": "nothing listens"})
    says = ["the health probe of a says: no answer within 1 s", "the health probe of b says: nothing listens"]
    assert view.findings == says
    assert [each.partition(" (")[0] for each in view.what_to_do] == [
        "read what it says: fourfold logs web",
        "if it hangs: fourfold restart web",
    ]
    assert not explained(instances=there[1:], probe_errors={"b": "nothing listens"}).what_to_do
    view = explained(instances=there[:1], probe_errors={"a": "no answer"}, halted={"a": 7})
    assert view.findings[1] == "a stands still: a signal or a debugger has stopped its process 7"
    assert view.what_to_do == ["let it go on: kill -CONT 7"]


def test_what_could_not_even_be_started_has_no_last_lines() -> None:
    view = explained(instances=[instance("a", state="exited", exit=ended("cannot use secrets: their key is missing"))])
    assert view.what_to_do == ["see what this machine lacks by now: fourfold doctor --offline"]
    gone = ended("cannot find the artifact c85dc98d0933: it is not in the store")
    again = ["build it again: fourfold up"]
    assert explained(instances=[instance("a", state="exited", exit=gone)]).what_to_do == again
    assert explained(deployment=deployment(state="rolled-back", reason=gone["reason"])).what_to_do == again


def test_a_memory_limit_is_blamed_for_what_was_tried_last_only() -> None:
    dead = [
        instance("b", release=3, state="gone", exit=ended("no such command")),
        instance("a", release=2, state="gone", exit=ended("killed: out of memory", oom=True)),
    ]
    limit = "it reached its memory limit (the host's) and was killed"
    failed = deployment(release=3, state="rolled-back", reason="no such command")
    assert limit not in explained(dead=dead, deployment=failed).findings
    assert limit in explained(dead=dead, deployment=replace(failed, release=2)).findings
    theirs = {2: 64 * 2**20, 1: 512 * 2**20}
    told = explained(
        dead=dead, deployment=replace(failed, release=2), memory_limit=lambda row: theirs[row.release]
    ).findings
    assert limit.replace("the host's", "64 MiB") in told


@pytest.mark.parametrize(
    ("reason", "lines", "advice"),
    [
        ("w was not ready within 5 s: nothing listens on 127.0.0.1:1", [],
         "or, if its start only takes longer, raise health.grace"),
        ("w was not ready within 5 s: nothing listens; it listens on 0.0.0.0:3 instead of $PORT (1)", [],
         "make the program listen on $PORT (and the address in $HOST)"),
        ("w was not ready within 5 s: it listens on 127.0.0.1:1 only: it must listen on $HOST", [],
         "make the program listen on $PORT (and the address in $HOST)"),
        ("w did not stay up: exit code 1", ["Error: EROFS: read-only file system, mkdir '/app/data'"],
         "write to a volume or to /tmp: what it runs from can only be read"),
        ("w did not stay up: exit code 1", ["Error: listen EADDRINUSE: address already in use :::8080"],
         "give it a `port` in the file (without one there is no $PORT), and make the program listen on $PORT (and the "
         "address in $HOST): the port that it took by itself is another program's"),
        ("w did not stay up: exit code 127", ["./w: error while loading shared libraries: libx.so.1: cannot open it"],
         "put the library into the source and its folder into LD_LIBRARY_PATH, or use a base that has it"),
        ("w did not stay up: its first sandbox did not come up",
         ["[fourfold] cannot start function w: its program: it did not ask for an event within 10.0 s"],
         "raise resources.memory: a sandbox has CPU in proportion to its memory"),
    ],
)  # fmt: skip
def test_what_to_do_after_a_start_that_failed(reason: str, lines: list[str], advice: str) -> None:
    view = explained(deployment=deployment(release=2, state="rolled-back", reason=reason), last_lines=lines)
    assert view.what_to_do == ["mend the cause, then: fourfold deploy web", advice]


def test_a_service_with_a_port_is_told_to_listen_there() -> None:
    failed = deployment(release=2, state="rolled-back", reason="w did not stay up: exit code 1")
    named = replace(service_row(), internal_port=20000)
    view = explained(row=named, deployment=failed, last_lines=["OSError: [Errno 98] Address already in use"])
    assert view.what_to_do[-1].startswith("make the program listen on $PORT (and the address in $HOST): the port")


def test_ends_say_whose_they_were_and_whether_they_were_asked_for() -> None:
    dead = [instance("a", state="gone", exit=ended("killed by signal 15", asked=True))]
    assert [(each.instance, each.asked) for each in explained(dead=dead).exits] == [("a", True)]


def test_the_last_lines_are_those_of_what_failed() -> None:
    broken, replaced = instance("broken", release=2, state="gone"), instance("replaced", state="gone")
    failed = deployment(release=2, state="rolled-back")
    assert telling([], [replaced, broken], failed) is broken, "it ended first"
    assert telling([replace(replaced, state="stopping")], [broken], failed) is broken
    moved = deployment(release=1, state="rolled-back", pattern="container")
    there = replace(broken, release=1, pattern="container")
    assert telling([], [replaced, there], moved) is there
    assert telling([], [replaced, broken], deployment(release=2)) is replaced, "nothing has failed"
    ill = replace(replaced, state="exited")
    assert telling([ill], [broken], failed) is ill, "it is what is wrong now"
    assert telling([], [], failed) is None
