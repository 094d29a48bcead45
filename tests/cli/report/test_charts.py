"""Scales, labels, and what charts do with figures that are few, alike, or far apart."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.cli.report.charts import costcurves, density, labels, latencies, scales, starts
from fourfold.cli.report.charts.labels import Box
from fourfold.cost.comparison import PATTERNS

positive = st.floats(1e-9, 1e15)


@settings(deadline=None)
@given(st.lists(positive, min_size=1, max_size=20))
def test_all_values_are_in_the_picture_and_keep_their_order(values: list[float]) -> None:
    scale = scales.over(values, 10, 210)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 <= place <= 210.0001 for place in places)
    assert isinstance(scale, scales.Log) == (max(values) / min(values) > scales.FEW_TIMES)


@settings(deadline=None)
@given(st.lists(positive, min_size=1, max_size=20), st.integers(3, 8))
def test_axes_have_a_few_marks(values: list[float], most: int) -> None:
    ticks = scales.over(values, 0, 100).ticks(most)
    assert 1 <= len(ticks) <= most + 1
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.2, 0.9], [0, 0.2, 0.4, 0.6, 0.8]),
        ([0.19, 21], [0.1, 1, 10]),
        ([1, 30], [1, 3, 10, 30]),
        ([0.01, 2e9], [1, 1e3, 1e6, 1e9]),
        ([0.0], [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_marks_are_round(values: list[float], ticks: list[float]) -> None:
    assert scales.over(values, 0, 100).ticks(5) == pytest.approx(ticks)


def test_each_nine_has_the_same_room() -> None:
    tail = scales.Tail(0.999, 0, 300)
    assert [tail(share) for share in (0, 0.9, 0.99, 0.999, 1)] == pytest.approx([0, 100, 200, 300, 300])


@settings(deadline=None)
@given(st.lists(st.floats(-50, 350), max_size=12), st.floats(1, 40))
def test_labels_are_spread_in_their_order(wished: list[float], gap: float) -> None:
    places = labels.spread(wished, gap, 0, 300)
    room = min(gap, 300 / max(1, len(wished) - 1))
    ordered = [place for _, place in sorted(zip(wished, places, strict=True))]
    assert all(after - before >= room - 1e-6 for before, after in pairwise(sorted(places)))
    assert ordered == sorted(ordered)
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in places)


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert labels.spread([200, 20, 100], 15, 0, 300) == [200, 20, 100]


def test_labels_beside_points_cover_nothing() -> None:
    points = [(100.0, 50.0), (108.0, 50.0), (100.0, 58.0), (290.0, 50.0), (10.0, 190.0)]
    frame = Box(0, 0, 300, 200)
    boxes = labels.place(points, [(60.0, 30.0)] * 5, frame)
    assert not [1 for one, other in combinations(boxes, 2) if one.overlap(other)]
    assert all(box.overlap(frame) == box.width * box.height for box in boxes)
    assert not [1 for box in boxes for x, y in points if box.overlap(Box(x - 4, y - 4, 8, 8))]


def test_labels_keep_off_lines() -> None:
    line = [(0.0, 100.0), (300.0, 100.0)]
    (box,) = labels.place([(150, 100)], [(40, 16)], Box(0, 0, 300, 200), labels.along(line))
    assert not [1 for part in labels.along(line) if part.overlap(box)]


def test_without_figures_there_is_no_picture() -> None:
    nothing = latencies.Curve("vm", ((0.5, 0.1),), 100)
    assert starts.draw([starts.Panel("Start", ())], 500, "wide") is None
    assert latencies.draw([nothing], 500, 400, "wide") is None
    assert density.draw([], 5, 500, 400, "wide") is None
    assert costcurves.draw([costcurves.Curve("vm", "EC2", ((0, 1.0), (0, 2.0)))], [], None, 500, 400, "wide") is None


def test_figures_that_are_all_nought_or_all_alike_are_drawn() -> None:
    alike = [starts.Start(pattern, 0.5, 0.5, 0.5) for pattern in PATTERNS]
    assert starts.draw([starts.Panel("Start", tuple(alike))], 500, "wide")
    assert starts.draw([starts.Panel("Start", (starts.Start("vm", 0.0, 0.0, 0.0),))], 500, "wide")
    assert latencies.draw([latencies.Curve("vm", ((0.5, 0.0), (0.99, 0.0)), 100)], 500, 400, "wide")
    assert costcurves.draw([costcurves.Curve("vm", "EC2", ((1e3, 0.0), (1e9, 0.0)))], [], 1e5, 500, 400, "wide")
    assert density.draw([density.Spot(pattern, 1e7, 3, "some") for pattern in PATTERNS], 5, 500, 400, "wide")


def test_what_costs_less_than_the_scale_begins_comes_up_from_below() -> None:
    curves = [
        costcurves.Curve("function", "Lambda", ((1e3, 1e-4), (1e9, 100.0))),
        costcurves.Curve("vm", "EC2", ((1e3, 3.0), (1e9, 3.0))),
    ]
    drawn = str(costcurves.draw(curves, [], None, 500, 400, "wide"))
    line = next(part for part in drawn.split("<polyline") if "line of-function" in part)
    first = line.split('points="')[1].split()[0]
    assert first.split(",")[1] == f"{400 - costcurves.BOTTOM:.0f}"
    assert float(first.split(",")[0]) > costcurves.LEFT + 20


def test_pictures_say_in_words_what_they_show() -> None:
    drawn = starts.draw([starts.Panel("Start, as usual", (starts.Start("vm", 4.8, 4.2, 5.4),))], 500, "wide")
    assert 'aria-label="Start times. Start, as usual: vm 4.8 s."' in str(drawn)
    assert "<title>vm: 4.8 s, between 4.2 s and 5.4 s</title>" in str(drawn)


def test_of_a_hundred_requests_the_thousandth_is_not_drawn() -> None:
    points = ((0.5, 0.1), (0.9, 0.2), (0.99, 0.3), (0.999, 0.9), (1.0, 2.0))
    few = str(latencies.draw([latencies.Curve("vm", points, 100)], 500, 400, "wide"))
    many = str(latencies.draw([latencies.Curve("vm", points, 1000)], 500, 400, "wide"))
    assert ("99.9 %" in few, "99.9 %" in many) == (False, True)


def test_what_is_too_small_to_be_measured_is_not_counted_out() -> None:
    drawn = str(density.draw([density.Spot("shared", 82_000, 0, "all shared")], 5, 500, 400, "wide"))
    assert "over 1,000 per GiB" in drawn
