"""Progress on stderr: live on a terminal, a line per event elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from fourfold.cli.options import Options, Progressing
from fourfold.cli.printing.output import json_line
from fourfold.cli.printing.steps import UNCHANGED, State, Step, Steps, brief

if TYPE_CHECKING:
    from rich.console import Group

    from fourfold.control.views import EventView

MARKS = {"waiting": ("·", "dim"), "done": ("✓", "green"), "failed": ("✗", "red")}
URGENCY: tuple[State, ...] = ("failed", "busy", "waiting", "done")
"""Where there is no room for all, these are shown first."""
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAMES_PER_SECOND = 12


def progress(steps: Steps, options: Options) -> Progress:
    if options.quiet:
        return Progress(steps)
    if options.progress is Progressing.json:
        return JsonLines(steps)
    live = options.progress is Progressing.auto and sys.stderr.isatty()
    return Live(steps, options) if live else Lines(steps)


class Progress:
    """Keeps `steps` up to date and shows nothing."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def event(self, event: EventView) -> None:
        self.steps.apply(event)

    def working(self, services: list[str], text: str) -> None:
        """What the command itself is doing for these services, before there are events."""
        for name in services:
            step = self.steps.services.setdefault(name, Step(name))
            step.state, step.text = "busy", text

    def sending(self, services: list[str], text: str) -> None:
        """How far `working` is; only worth showing where it can be shown in place."""
        Progress.working(self, services, text)

    def notice(self, text: str) -> None:
        """What holds everything up."""
        self.steps.notice = text

    def note(self, text: str) -> None:
        """What is good to know, and stays to be read."""


class Lines(Progress):
    """For the log of a CI job: a line per event, each with its service in front."""

    def event(self, event: EventView) -> None:
        super().event(event)
        if event.kind == "operation.failed":
            return  # the error of the command says it
        same = [step.name for step in self.steps.services.values() if step.text == UNCHANGED]
        if same and event.kind == "operation.done":
            print(f"unchanged: {', '.join(same)}", file=sys.stderr, flush=True)
        who = event.service or event.app or "fourfold"
        mark = " |" if event.kind == "build.log" else ":"
        print(f"{who}{mark} {brief(event.message)}", file=sys.stderr, flush=True)

    def working(self, services: list[str], text: str) -> None:
        super().working(services, text)
        print(f"{', '.join(services)}: {text}", file=sys.stderr, flush=True)

    def notice(self, text: str) -> None:
        super().notice(text)
        print(text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(f"note: {text}", file=sys.stderr, flush=True)


class JsonLines(Progress):
    """For programs that follow: an object per line. Events are those of `fourfold events -o json`."""

    def event(self, event: EventView) -> None:
        super().event(event)
        json_line(event)

    def working(self, services: list[str], text: str) -> None:
        super().working(services, text)
        json_line({"kind": "working", "services": services, "message": text})

    def notice(self, text: str) -> None:
        super().notice(text)
        json_line({"kind": "waiting", "message": text})

    def note(self, text: str) -> None:
        json_line({"kind": "note", "message": text})


class Live(Progress):
    """For people: one line per service that changes in place."""

    def __init__(self, steps: Steps, options: Options) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        from fourfold.cli.printing.output import colours

        super().__init__(steps)
        # Before the display, which draws for the first time while it is made (rich 15).
        self._console = Console(stderr=True, no_color=not colours(options, sys.stderr), highlight=False)
        self._ended = False
        self._live = RichLive(console=self._console, get_renderable=self._render, refresh_per_second=FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True  # what stays on the screen may scroll
        self._live.stop()

    def event(self, event: EventView) -> None:
        super().event(event)
        if event.kind == "deploy.warning":  # it is to be read when all the rest has changed
            self._console.print(f"{event.service or event.app}: {event.message}", markup=False)

    def note(self, text: str) -> None:
        self._console.print(f"note: {text}", markup=False)

    def _render(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        turning = FRAMES[int(time.monotonic() * FRAMES_PER_SECOND) % len(FRAMES)]
        width = max((len(name) for name in self.steps.services), default=0)
        lines = [Text(f"{turning} {self.steps.notice}")] if self.steps.notice else []
        rows = None if self._ended else self._console.size.height - len(lines)
        shown, rest = fitting(self.steps, rows)
        for step in shown:
            mark, style = MARKS.get(step.state, (turning, ""))
            lines.append(Text.assemble((mark, style), f" {step.name:<{width}} ", (step.text, style)))
        if rest:
            lines.append(Text(rest, "dim"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)


def fitting(steps: Steps, rows: int | None) -> tuple[list[Step], str]:
    """Services for so many rows, in their order, and a line on those left out: the finished ones before the failed."""
    services = list(steps.services.values())
    if rows is None or len(services) <= rows:
        return services, ""
    kept = {step.name for step in sorted(services, key=lambda step: URGENCY.index(step.state))[: max(rows - 1, 1)]}
    counts = Counter(step.state for step in services if step.name not in kept)
    told = ", ".join(f"{counts[state]} {state}" for state in URGENCY if counts[state])
    return [step for step in services if step.name in kept], f"  and {told}"
