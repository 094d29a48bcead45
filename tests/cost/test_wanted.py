"""What service files ask for and rule out."""

from __future__ import annotations

from typing import Any

from fourfold.cost.wanted import impossible, of_file, wanted
from fourfold.spec.groups import Group
from fourfold.spec.model import Service


def service(**given: Any) -> Service:
    return Service.model_validate({"source": "./web", **given})


def test_members_are_those_that_run_in_its_group_and_itself() -> None:
    group = {"group": "apps"}
    found = of_file(
        {
            "one": service(pattern="shared", shared=group),
            "two": service(pattern="shared", shared=group),
            "may": service(pattern="container", shared=group),
            "other": service(pattern="shared", shared={"group": "others"}),
            "alone": service(),
        },
        {"apps": Group(kind="python", instances=3)},
    )
    hosts = {name: each.hosts for name, each in found.items()}
    assert hosts == {"one": 3, "two": 3, "may": 3, "other": None, "alone": None}
    members = {name: each.members for name, each in found.items()}
    assert members == {"one": 2, "two": 2, "may": 3, "other": 1, "alone": 1}


def test_a_job_stands_nowhere() -> None:
    job = service(run="x", job={})
    assert (wanted(job).job, wanted(job, instances=(3, 3)).min_instances) == (True, 0)
    assert not wanted(service()).job and wanted(service(instances=2), instances=(5, 5)).min_instances == 5


def test_what_it_allows_at_most() -> None:
    scaled = service(port=8080, run="x", instances={"min": 2, "max": 8, "per_instance": {"rps": 5}})
    assert [each.max_instances for each in (wanted(scaled), wanted(service(instances=3)))] == [8, 3]
    assert (wanted(scaled).min_instances, wanted(scaled, instances=(5, 5)).max_instances) == (2, 5)
    assert wanted(service(run="x", job={})).max_instances is None


def test_each_invoker_has_sandboxes_of_its_own() -> None:
    function = {"handler": "a.b", "provisioned": 2, "concurrency": 5}
    found = wanted(service(pattern="function", function=function, instances=3))
    assert (found.provisioned, found.max_sandboxes) == (6, 15)


def test_what_cannot_run_so_anywhere() -> None:
    assert impossible(service(port=8080, run="x")) == {}
    nightly = impossible(service(run="x", job={}))
    assert nightly == {
        "shared": "a group keeps its members running, a job runs to its end",
        "function": "a job runs to its end, a function waits for events",
    }
    assert set(impossible(service(run="x"))) == {"shared", "function"}
