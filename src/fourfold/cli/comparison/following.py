"""How a comparison is followed: a row for each pattern, and above them how far all of it is and how long it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.cli.operation import detached, follow, interrupted
from fourfold.cli.printing.progress import progress
from fourfold.cli.printing.steps import Step, Steps, brief
from fourfold.cli.session import Session
from fourfold.errors import UserError, WorldError

if TYPE_CHECKING:
    from fourfold.control.views import EventView, OperationView

WIDTH = 24
"""Of the bar, in characters."""


class ComparingSteps(Steps):
    """`services` are patterns here. One that cannot run is told, and is no failure of the comparison."""

    def __init__(self, patterns: Iterable[str], now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(dict.fromkeys(patterns))
        self._now = now
        self._told: tuple[int, int, float, float] | None = None
        """Steps done, all of them, seconds left, and when that was."""

    def apply(self, event: EventView) -> None:
        if event.kind == "compare.progress":
            self._progress(event.data)
        elif event.kind == "compare.unavailable":
            step = self._step(str(event.data["pattern"]))
            step.state, step.text = "failed", brief(event.message).partition(" ")[2]
        elif event.kind.startswith("operation."):
            super().apply(event)
            if self.outcome == "done":
                self._told = None
                for step in self.services.values():
                    if step.state != "failed":
                        step.state, step.text = "done", "measured"

    def _progress(self, data: dict[str, Any]) -> None:
        for step in self.services.values():
            if step.state == "busy":
                step.state, step.text = "waiting", "waits for its turn"
        step = self._step(str(data["pattern"]))
        step.state, step.text, step.began = "busy", str(data["what"]), step.began or ""
        self._told = int(data["done"]), int(data["total"]), float(data["seconds_left"]), self._now()

    def _step(self, pattern: str) -> Step:
        return self.services.setdefault(pattern, Step(pattern))

    @property
    def failed(self) -> list[Step]:
        return []

    @property
    def notice(self) -> str | None:
        """Made when it is looked at, so that time goes by between events too."""
        if self._told is None:
            return self._notice
        done, total, left, at = self._told
        return bar(done / max(total, 1), max(0.0, left - (self._now() - at)))

    @notice.setter
    def notice(self, text: str | None) -> None:
        self._notice = text


def bar(share: float, left: float) -> str:
    """`━━━━━━──────  25 %, about 2 min left`."""
    full = round(share * WIDTH)
    return f"{'━' * full}{'─' * (WIDTH - full)} {share:4.0%}, {_about(left)}"


def _about(left: float) -> str:
    if left < 5:
        return "a few seconds left"
    if left < 60:
        return f"about {math.ceil(left / 5) * 5} s left"
    return f"about {math.ceil(left / 60)} min left"


def see_through(session: Session, ask: Callable[[], OperationView], patterns: Iterable[str]) -> int | None:
    """Ask for a comparison and follow it; the exit code where that is all. None: it is done, and its result there.

    Raises WorldError when it failed.
    """
    options = session.options
    steps = ComparingSteps(patterns)
    operation: OperationView | None = None
    try:
        with progress(steps, options) as view:
            operation = ask()
            if not options.wait:
                return detached(session, operation)
            if operation.waiting_for:
                view.notice(f"waiting for {operation.waiting_for}")
            for event in follow(session.client, operation, options.timeout):
                view.event(event)
    except KeyboardInterrupt:
        return interrupted(session, operation, "taking away what it has started", "nothing of it is left")
    if steps.outcome == "done":
        return None
    raise WorldError(steps.reason or "cannot tell how the comparison ended", steps.hint or "see: fourfold events")


def read_requests(file: Path | None) -> str | None:
    """Raises UserError."""
    if file is None:
        return None
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(f"cannot read the requests in {file}: {why}", "give --requests a text file") from error


def check_writable(file: Path | None) -> None:
    """Before minutes are spent on what is to be written there. Raises UserError."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        why = "it is a folder" if file.is_dir() else "there is no such folder"
        raise UserError(f"cannot write the report to {file}: {why}", "name a file with --html")


def write_report(file: Path, html: str) -> None:
    try:
        file.write_text(html)
    except OSError as error:
        raise WorldError(f"cannot write the report to {file}: {error.strerror}") from error
