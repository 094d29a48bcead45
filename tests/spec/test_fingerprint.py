from __future__ import annotations

from typing import Any

import pytest

from fourfold.spec.fingerprint import changes, fingerprint, under
from fourfold.spec.model import Service

OLD: dict[str, Any] = {
    "run": "x",
    "env": {"A": "1", "B": "2"},
    "secrets": ["K", {"L": "l"}],
    "resources": {"memory": "64Mi"},
    "volumes": [{"name": "v", "path": "/v"}],
    "port": 80,
}


def made(**given: Any) -> dict[str, Any]:
    return fingerprint(Service.model_validate({**OLD, **given}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"instances": 5}, []),
        ({"env": {"B": "2", "A": "1"}, "secrets": [{"L": "l"}, "K"]}, []),
        ({"env": {"A": "9", "C": "3"}}, ["env.A changed", "env.B removed", "env.C added"]),
        ({"secrets": ["K", {"L": "m"}, "M"]}, ["secrets.L.name changed", "secrets.M added"]),
        ({"health": {"path": "/h"}}, ["health added"]),
        ({"resources": {"memory": "65Mi", "cpu": 1}}, ["resources.cpu added", "resources.memory changed"]),
        ({"port": None, "run": ["x"]}, ["port removed", "run changed"]),
        ({"volumes": [{"name": "v", "path": "/w"}]}, ["volumes.v.path changed"]),
        ({"restart": {"backoff": {"min": 1}}}, ["restart.backoff.min changed"]),
        ({"container": {"base": "scratch"}}, ["container.base changed"]),
        ({"pattern": "container"}, []),
    ],
)
def test_changes(given: dict[str, Any], told: list[str]) -> None:
    assert changes(made(), made(**given)) == told


def test_a_release_holds_neither_pattern_nor_count_and_reads_back() -> None:
    assert not {"pattern", "instances"} & made().keys()
    assert fingerprint(Service.model_validate(made())) == made()


def test_blocks_of_other_patterns_do_not_matter() -> None:
    block = {"container": {"base": "scratch"}}
    assert changes(under("process", made()), under("process", made(**block))) == []
    assert changes(under("container", made()), under("container", made(**block))) == ["container.base changed"]
    assert changes(under("process", made()), under("process", made(run="y", **block))) == ["run changed"]


def test_what_handlers_and_events_obey_matters_under_every_pattern() -> None:
    told = ["function.handler added", "function.retries changed"]
    new = made(function={"handler": "a.b", "retries": 1, "tmp": "1Gi"})
    assert changes(under("process", made()), under("process", new)) == told
    assert changes(under("function", made()), under("function", new)) == [*told, "function.tmp changed"]


def test_a_release_from_before_there_were_functions_is_no_other() -> None:
    old = {key: value for key, value in made().items() if key != "function"}
    assert changes(under("process", old), under("process", made())) == []


def test_servers_of_handlers_are_asked_for_a_connection_only() -> None:
    service = Service.model_validate({"function": {"handler": "a.b"}, "health": {"grace": 5}})
    assert service.health is not None and service.health.tcp is True and service.health.grace == 5
    assert fingerprint(Service.model_validate(fingerprint(service))) == fingerprint(service)
    service = Service.model_validate({"function": {"handler": "a.b"}, "health": {"path": "/up"}})
    assert service.health is not None and service.health.tcp is None
    assert Service.model_validate({"function": {"handler": "a.b"}, "run": "x"}).health is None


@pytest.mark.parametrize("given", [{"static": {}}, {"runtime": "static"}, {"function": {"handler": "a.b"}}])
def test_served_files_get_a_port(given: dict[str, Any]) -> None:
    assert Service.model_validate(given).port == 8080
    assert Service.model_validate({**given, "port": 80}).port == 80
    assert Service().port is None
