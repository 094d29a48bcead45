"""What each service of an operation is doing, from its events. Pure: events in, text out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fourfold.cli.printing.formats import moment, seconds
from fourfold.errors import UserError, WorldError

if TYPE_CHECKING:
    from fourfold.control.views import EventView

State = Literal["waiting", "busy", "done", "failed"]
KEPT_LINES = 15
UNCHANGED = "unchanged"
UNBEGUN = "not begun: "
"""As reasons of the planner begin (`plan.verdict`)."""
ENDED = ("operation.done", "operation.failed")


def brief(message: str) -> str:
    """What went wrong, without the lines of output under it: those are shown once, and not with each telling."""
    return message.partition("\n")[0]


def exit_code(ended: EventView) -> int:
    """Of the command that sees an operation end so."""
    if ended.kind == "operation.done":
        return 0
    return UserError.exit_code if ended.data.get("exit_code") == UserError.exit_code else WorldError.exit_code


@dataclass
class Step:
    """One service: a state and the text beside its name."""

    name: str
    desired: int | None = None
    """Instances it is to have, when the caller knows."""
    state: State = "waiting"
    text: str = "waiting"
    began: str | None = None
    ready: set[str] = field(default_factory=set)
    unbuilt: bool = False
    """It failed before anything of it ran."""
    unbegun: bool = False
    """What failed is another service, which says why."""
    build_lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    def apply(self, event: EventView) -> None:
        self.began = self.began or event.at
        family, _, what = event.kind.partition(".")
        if family == "instance":
            self._instance(what, event)
        elif family == "build":
            self._build(what, event)
        elif family == "deploy":
            self._deploy(what, event)

    def settle(self) -> None:
        """The operation has ended: what nothing was heard of had nothing to do."""
        if self.began is None and self.state != "failed":
            self.state, self.text = "done", UNCHANGED

    def _busy(self, text: str) -> None:
        if self.state != "failed":
            self.state, self.text = "busy", text

    def _build(self, what: str, event: EventView) -> None:
        if what == "log":
            self.build_lines.append(event.message)
            self._busy(f"building: {event.message.strip()}")
        elif what == "failed":
            self.unbuilt = True
            self._fail(event)
        else:
            self._busy("building" if what == "started" else "built")

    def _deploy(self, what: str, event: EventView) -> None:
        if what == "failed":
            self._fail(event)
        elif what == "rolled-back":
            reason = self.text.removeprefix("failed: ") if self.state == "failed" else str(event.data.get("reason", ""))
            self.state, self.text = "failed", f"rolled back: {reason}" if reason else "rolled back"
        elif what == "done":
            took = (moment(event.at) - moment(self.began or event.at)).total_seconds()
            self.state, self.text = "done", f"done in {seconds(took)}"
        else:
            self._busy("starting" if what == "started" else event.message)

    def _instance(self, what: str, event: EventView) -> None:
        name = event.instance or ""
        if what == "ready":
            self.ready.add(name)
        elif what in ("unready", "exited", "draining", "stopped"):
            self.ready.discard(name)
        if self.state in ("done", "failed"):
            return
        if what in ("draining", "stopped"):
            self._busy("draining the old instances")
        elif what in ("exited", "crash-loop"):
            self._busy(event.message)
        else:
            of = f"/{self.desired}" if self.desired else ""
            self._busy(f"starting {len(self.ready)}{of} ready")

    def _fail(self, event: EventView) -> None:
        self.fail(brief(str(event.data.get("reason") or event.message)))

    def fail(self, reason: str) -> None:
        self.unbegun = reason.startswith(UNBEGUN)
        self.state, self.text = "failed", reason if self.unbegun else f"failed: {reason}"


class Steps:
    """All services of one operation, in the order in which they were first named."""

    def __init__(self, desired: Mapping[str, int | None]) -> None:
        self.services = {name: Step(name, count) for name, count in desired.items()}
        self.outcome: Literal["done", "failed"] | None = None
        self.reason: str | None = None
        """Why it failed, as a sentence; None when that is told by the services."""
        self.hint: str | None = None
        self.exit_code = 1
        """Of one that failed: 2 where its input is to blame, and nothing has changed."""
        self.notice: str | None = None
        """What holds the whole operation up, such as another one."""

    def apply(self, event: EventView) -> None:
        if event.kind.startswith("operation."):
            self._operation(event)
        elif event.service is not None:
            self.services.setdefault(event.service, Step(event.service)).apply(event)

    def _operation(self, event: EventView) -> None:
        what = event.kind.removeprefix("operation.")
        self.notice = event.message if what == "queued" else None
        if what in ("done", "failed"):
            for step in self.services.values():
                step.settle()
        if what == "done":
            self.outcome = "done"
        elif what == "failed":
            self.outcome = "failed"
            self.exit_code = exit_code(event)
            failed = event.data.get("failed")
            if isinstance(failed, dict) and failed:
                for name, reason in failed.items():
                    self._failed(str(name), str(reason))
            else:
                self.reason, self.hint = brief(event.message) if self.failed else event.message, event.data.get("hint")

    def _failed(self, name: str, reason: str) -> None:
        step = self.services.setdefault(name, Step(name))
        if step.state != "failed":
            step.fail(reason)

    @property
    def failed(self) -> list[Step]:
        return [step for step in self.services.values() if step.state == "failed"]
