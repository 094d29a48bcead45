"""The text, as Prometheus' own parser reads it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fourfold.control.metrics import catalog as c
from fourfold.control.metrics.exposition import family, histogram, labels


def parsed(lines: list[str]) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for each in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in each.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


@pytest.mark.parametrize("value", ["web", 'a "b"', "C:\\n", "two\nlines", "", "ümlaut", "{}=,"])
def test_labels_come_back_as_they_were(value: str) -> None:
    written = labels(("app", "service"), (value, "web"))
    assert parsed(list(family(c.IN_FLIGHT, [(written, 1)])))[c.IN_FLIGHT.name] == [
        ({"app": value, "service": "web"}, 1)
    ]


@pytest.mark.parametrize("value", [0, 1, -1, 0.1, 1e-9, 2**40 + 1, 1.5e300, 1795684798.776662])
def test_numbers_come_back_as_they_were(value: float) -> None:
    assert parsed(list(family(c.GATEWAY_UP, [("", value)])))[c.GATEWAY_UP.name] == [({}, value)]


def test_a_histogram_s_buckets_add_up() -> None:
    metric = c.Metric("some_seconds", "histogram", "Some", ("app",), (0.5, 1.0))
    found = parsed(list(histogram(metric, [('{app="shop"}', [7.25, 2, 0, 3])])))
    buckets = {given["le"]: value for given, value in found["some_seconds_bucket"]}
    assert buckets == {"0.5": 2, "1": 2, "+Inf": 5}
    assert found["some_seconds_sum"] == [({"app": "shop"}, 7.25)]
    assert found["some_seconds_count"] == [({"app": "shop"}, 5)]
    assert parsed(list(histogram(c.LAG, [("", [0.0] * 12)])))["fourfold_daemon_loop_lag_seconds_count"] == [({}, 0)]


def test_what_has_no_samples_is_not_named() -> None:
    assert list(family(c.CPU, [])) == [] == list(histogram(c.LATENCY, []))


def test_names_and_units_are_the_field_s() -> None:
    names = [metric.name for metric in c.METRICS]
    assert len(names) == len(set(names))
    for metric in c.METRICS:
        assert metric.name.startswith(("fourfold_", "process_"))
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(metric.buckets)
        assert metric.help and not metric.help.endswith(".")
