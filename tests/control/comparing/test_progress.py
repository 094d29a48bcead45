"""How long a comparison still takes, from what it has taken."""

from __future__ import annotations

from fourfold.control.comparing.progress import Progress, Step


def progress() -> Progress:
    steps = [Step("build", "process", 4.0), Step("build", "vm", 8.0)]
    rounds = [Step("round", "process", 10.0), Step("round", "vm", 20.0)]
    return Progress([*steps, *rounds, *rounds])


def test_what_is_left_before_anything_was_seen() -> None:
    made = progress()
    assert (made.done, made.total, made.seconds_left(0.0)) == (0, 6, 72.0)


def test_a_step_that_takes_longer_makes_those_like_it_longer() -> None:
    made = progress()
    made.begin("build", "process", 0.0)
    assert made.seconds_left(1.0) == 71.0
    made.begin("build", "vm", 8.0)  # it took twice as long as reckoned
    assert (made.done, made.total) == (1, 6)
    assert made.seconds_left(8.0) == 16.0 + 60.0
    made.begin("round", "process", 20.0)
    made.begin("round", "vm", 25.0)
    assert made.seconds_left(25.0) == 10.0 + 5.0 + 10.0, "as the round before took, and vm twice that"
    assert made.seconds_left(1000.0) == 5.0 + 10.0, "never less than what comes after"


def test_what_cannot_be_measured_takes_no_time() -> None:
    made = progress()
    made.begin("build", "vm", 0.0)
    made.drop("vm")
    made.end(1.0)
    assert (made.done, made.total) == (1, 4)
    assert made.seconds_left(1.0) == 4.0 / 8.0 + 20.0
