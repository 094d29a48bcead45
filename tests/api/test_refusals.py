"""Refusals: each is counted; events of them come at a bounded rate, whoever tries what how often."""

from __future__ import annotations

import pytest

from fourfold.api.network.refusals import FAILURES, MOST_CLIENTS, MOST_EVENTS, WINDOW, Refusals, network


class Heard:
    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[tuple[str, str, str, int]] = []
        self.refusals = Refusals(lambda *what: self.told.append(what), lambda: self.now)

    def add(self, client: str = "10.0.0.7", reason: str = "token") -> bool:
        return self.refusals.add(reason, client, "wrong")


def test_the_first_is_told_at_once_and_the_rest_when_the_window_is_over() -> None:
    heard = Heard()
    for _ in range(5):
        heard.add()
    assert heard.told == [("token", "10.0.0.7", "wrong", 1)]
    heard.now += WINDOW
    heard.refusals.settle()
    assert heard.told[1:] == [("token", "10.0.0.7", "wrong (4 times more within 60 s)", 4)]
    heard.now += WINDOW
    heard.refusals.settle()
    assert len(heard.told) == 2
    assert heard.refusals.counts == {"token": 5}


def test_who_has_had_too_many_is_to_wait_until_the_window_is_over() -> None:
    heard = Heard()
    assert [heard.add() for _ in range(FAILURES + 2)] == [False] * FAILURES + [True] * 2
    assert not heard.add("10.0.0.8")
    assert not heard.add(reason="forbidden")
    heard.now += WINDOW
    assert not heard.add()


def test_many_clients_are_not_many_events() -> None:
    heard = Heard()
    for number in range(MOST_CLIENTS * 2):
        heard.add(f"10.1.{number // 256}.{number % 256}")
    assert len(heard.told) == MOST_EVENTS
    assert heard.refusals.counts["token"] == MOST_CLIENTS * 2
    assert len(heard.refusals._seen) == MOST_CLIENTS


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_a_client_is_its_network(client: str, expected: str) -> None:
    assert network(client) == expected
