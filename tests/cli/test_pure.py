"""The pure parts, from tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fourfold.cli import units
from fourfold.cli.printing import formats
from fourfold.cli.printing.progress import fitting
from fourfold.cli.printing.steps import Step, Steps
from fourfold.errors import SpecError
from fourfold.spec import dotenv
from tests.api.sample import event


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (31457280, "30 MiB"), (5 * 2**40, "5.0 TiB")],
)
def test_sizes(count: int | None, text: str) -> None:
    assert formats.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0 s"), (0.041, "0.041 s"), (1.44, "1.4 s"), (59.4, "59 s"), (59.6, "60 s"),
        (90, "1 min 30 s"), (3599.9, "1 h"), (7260, "2 h 1 min"),
    ],
)  # fmt: skip
def test_durations(value: float | None, text: str) -> None:
    assert formats.seconds(value) == text


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("2026-11-22T08:59:59.500Z", "0 s ago"),
        ("2026-11-22T09:00:05Z", "0 s ago"),
        ("2026-11-22T08:58:00Z", "2 min ago"),
        ("2026-11-22T01:00:00+01:00", "9 h ago"),
        ("2026-11-01T09:00:00Z", "21 d ago"),
    ],
)
def test_ago(text: str, ago: str) -> None:
    assert formats.ago(text, datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)) == ago


def test_tables() -> None:
    assert formats.table(("A", "N"), [("one", "1"), ("two and", "200")], frozenset("N")) == [
        "A          N",
        "one        1",
        "two and  200",
    ]
    assert formats.table(("A", "B"), []) == ["A  B"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\n\n # no\nB=\n", {"A": "1", "B": ""}),
        ("export A = x y  # not this\n", {"A": "x y"}),
        ("A=x#y\nURL=http://h/?a=b&c\n", {"A": "x#y", "URL": "http://h/?a=b&c"}),
        ("A='$x\\n # y' # z\n", {"A": "$x\\n # y"}),
        ('A="a\\nb\\"c\\$d\\e"\n', {"A": 'a\nb"c$d\\e'}),
        ('KEY="-----BEGIN\nabc\n-----END"\nB=2', {"KEY": "-----BEGIN\nabc\n-----END", "B": "2"}),
        ("A=1\r\nA=2\r\n", {"A": "2"}),
        ("A=\"1\"\r\nB='2' # x\r\n", {"A": "1", "B": "2"}),
        ("A='foo   \n bar  '\n", {"A": "foo   \n bar  "}),
        ("A=x\fy\nB=\"x\u2028y\"\nC='a\x85b\rc'\n", {"A": "x\fy", "B": "x\u2028y", "C": "a\x85b\rc"}),
    ],
)
def test_dotenv(text: str, values: dict[str, str]) -> None:
    assert dotenv.parse(text, ".env") == values


@pytest.mark.parametrize(
    ("text", "lines"), [("A=1\nB\n", [2]), ("1A=2", [1]), ("A='x\nB=2\n", [1]), ('A="x" y\n=\n', [1, 2])]
)
def test_dotenv_that_cannot_be_read(text: str, lines: list[int]) -> None:
    with pytest.raises(SpecError) as caught:
        dotenv.parse(text, ".env")
    assert [problem.line for problem in caught.value.problems] == lines


def told(*kinds: tuple[str, str]) -> Step:
    """What is shown of a service with two instances after these (kind, message or instance)."""
    steps = Steps({"a": 2})
    for number, (kind, text) in enumerate(kinds):
        instance = text if kind.startswith("instance.") else None
        at = f"2026-11-22T08:00:0{number}Z"
        steps.apply(event(number, kind, text, at=at, service="a", instance=instance, data={"reason": "why"}))
    return steps.services["a"]


@pytest.mark.parametrize(
    ("kinds", "state", "text"),
    [
        ([], "waiting", "waiting"),
        ([("build.started", "")], "busy", "building"),
        ([("build.started", ""), ("build.log", "Collecting x ")], "busy", "building: Collecting x"),
        ([("build.done", "")], "busy", "built"),
        ([("deploy.started", "")], "busy", "starting"),
        ([("instance.started", "i1")], "busy", "starting 0/2 ready"),
        ([("instance.started", "i1"), ("instance.ready", "i1")], "busy", "starting 1/2 ready"),
        ([("instance.ready", "i1"), ("instance.exited", "i1")], "busy", "i1"),
        ([("instance.draining", "old")], "busy", "draining the old instances"),
        ([("deploy.started", ""), ("deploy.done", "")], "done", "done in 1.0 s"),
        ([("deploy.done", ""), ("instance.stopped", "old")], "done", "done in 0 s"),
        ([("deploy.failed", "x")], "failed", "failed: why"),
        ([("deploy.failed", "x"), ("instance.stopped", "i1")], "failed", "failed: why"),
        ([("deploy.failed", "x"), ("deploy.rolled-back", "y")], "failed", "rolled back: why"),
        ([("build.failed", "x")], "failed", "failed: why"),
        ([("deploy.new-kind", "does a thing")], "busy", "does a thing"),
    ],
)
def test_steps(kinds: list[tuple[str, str]], state: str, text: str) -> None:
    step = told(*kinds)
    assert (step.state, step.text) == (state, text)


def test_how_an_operation_ended() -> None:
    steps = Steps({"a": None})
    steps.apply(event(1, "operation.queued", "waits for: up by bob"))
    assert steps.notice == "waits for: up by bob"
    steps.apply(event(2, "operation.started", "begins"))
    assert steps.notice is None
    steps.apply(event(3, "operation.failed", "cannot x: y", data={"hint": "z"}))
    assert (steps.outcome, steps.reason, steps.hint, steps.failed) == ("failed", "cannot x: y", "z", [])
    assert (steps.services["a"].state, steps.services["a"].text) == ("done", "unchanged")
    steps.apply(event(3, "operation.failed", "failed", data={"failed": {"b": "exit code 3"}}))
    assert [(step.name, step.text) for step in steps.failed] == [("b", "failed: exit code 3")]


def test_the_system_unit() -> None:
    text = units.unit("/opt/a b/python", "/srv/50%", system=True)
    assert 'ExecStart="/opt/a b/python" -m fourfold.daemon\nEnvironment="FOURFOLD_HOME=/srv/50%%"\n' in text
    assert "KillMode=process\n" in text
    assert "Delegate=yes\n" in text
    assert "WantedBy=multi-user.target\n" in text


def test_a_users_unit() -> None:
    text = units.unit("/usr/bin/python3", None, system=False)
    assert "Environment" not in text
    assert "network-online" not in text
    assert "WantedBy=default.target\n" in text
    assert any("enable-linger" in step for step in units.next_steps(system=False, runs=False))


def test_progress_that_does_not_fit_shows_what_matters() -> None:
    steps = Steps(dict.fromkeys(("a", "b", "c", "d", "e"), 1))
    for name, state in zip("abcde", ("done", "waiting", "failed", "done", "busy"), strict=True):
        steps.services[name].state = state  # type: ignore[assignment]
    shown = {rows: fitting(steps, rows) for rows in (1, 3, 4, 5, None)}
    assert {rows: ("".join(step.name for step in kept), rest) for rows, (kept, rest) in shown.items()} == {
        1: ("c", "  and 1 busy, 1 waiting, 2 done"),
        3: ("ce", "  and 1 waiting, 2 done"),
        4: ("bce", "  and 2 done"),
        5: ("abcde", ""),
        None: ("abcde", ""),
    }
