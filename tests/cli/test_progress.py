"""What is shown while an operation goes on."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress

import pytest

from fourfold.cli.options import Options
from fourfold.cli.printing.progress import progress
from fourfold.cli.printing.steps import Steps
from tests.api.sample import event

HAPPENED = (
    event(1, "deploy.warning", "warning: [of] the app"),
    event(2, "deploy.warning", "warning: of one", service="web"),
    event(3, "deploy.done", "release 1 is deployed", service="web"),
)


def test_a_warning_stays_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress(Steps({"web": 1}), Options()) as view:
            for each in HAPPENED:
                view.event(each)
    shown = _all_of(ours).decode()
    assert shown.count("shop: warning: [of] the app") == 1 and shown.count("web: warning: of one") == 1


def _all_of(terminal: int) -> bytes:
    read = b""
    with suppress(OSError):  # nobody has the other end any more
        while piece := os.read(terminal, 1 << 16):
            read += piece
    os.close(terminal)
    return read
