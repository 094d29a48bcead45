from __future__ import annotations

import json

import pytest

from fourfold.functions import endings

WORDS = [
    (0, None, "exit status 0"), (127, None, "exit status 127"), (None, 9, "signal: killed"),
    (None, 11, "signal: segmentation fault"), (None, 6, "signal: aborted"), (None, 33, "signal: signal 33"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "number", "words"), WORDS)
def test_how_a_runtime_ended(code: int | None, number: int | None, words: str) -> None:
    assert endings.exit_words(code, number) == words


BILLED = [  # seconds of duration and init, provisioned -> milliseconds
    (0.0004, 0, False, 1), (0.001, 0, False, 1), (0.00101, 0, False, 2), (0.0012, 0.2, False, 202),
    (0.0012, 0.2, True, 2),
]  # fmt: skip


@pytest.mark.parametrize(("duration", "init", "provisioned", "billed"), BILLED)
def test_what_is_billed(duration: float, init: float, provisioned: bool, billed: int) -> None:
    assert endings.took(duration, init, 1, 1, provisioned).billed_ms == billed


def test_lines_of_the_log() -> None:
    took = endings.took(1.0, 0.05, 128 << 20, 30_500_000, False)
    assert endings.end_lines("ID", took, endings.timed_out("ID", 1)) == (
        "END RequestId: ID\nREPORT RequestId: ID\tDuration: 1000.00 ms\tBilled Duration: 1050 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 50.00 ms\tStatus: timeout\t\n"
    )
    assert (
        endings.timeout_line(1764000000.25, "ID", 3)
        == "2025-11-24T16:00:00.250Z ID Task timed out after 3.00 seconds\n\n"
    )
    oom = endings.exited("ID", None, 9, True)
    assert json.loads(oom.payload)["errorType"] == oom.error_type == "Runtime.OutOfMemory"
    assert (
        endings.crash_line(oom)
        == "RequestId: ID Error: Runtime exited with error: signal: killed\nRuntime.OutOfMemory\n"
    )
