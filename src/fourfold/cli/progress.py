"""Progress on stderr: live on a terminal, a line per event elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from fourfold.cli.options import Options
from fourfold.cli.steps import Step, Steps
from fourfold.control.views import EventView

if TYPE_CHECKING:
    from rich.table import Table

MARKS = {"waiting": ("·", "dim"), "done": ("✓", "green"), "failed": ("✗", "red")}


def progress(steps: Steps, options: Options) -> Progress:
    if options.quiet:
        return Progress(steps)
    return Live(steps, options) if sys.stderr.isatty() else Lines(steps)


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


class Lines(Progress):
    """For the log of a CI job: a line per event, each with its service in front."""

    def event(self, event: EventView) -> None:
        super().event(event)
        who = event.service or event.app or "fourfold"
        mark = " |" if event.kind == "build.log" else ":"
        print(f"{who}{mark} {event.message}", file=sys.stderr, flush=True)

    def working(self, services: list[str], text: str) -> None:
        super().working(services, text)
        print(f"{', '.join(services)}: {text}", file=sys.stderr, flush=True)

    def notice(self, text: str) -> None:
        super().notice(text)
        print(text, file=sys.stderr, flush=True)


class Live(Progress):
    """For people: one line per service that changes in place."""

    def __init__(self, steps: Steps, options: Options) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive
        from rich.spinner import Spinner

        from fourfold.cli.output import colours

        super().__init__(steps)
        console = Console(stderr=True, no_color=not colours(options, sys.stderr), highlight=False)
        self._spinner = Spinner("dots")
        self._live = RichLive(console=console, get_renderable=self._render, refresh_per_second=12)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _render(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        if self.steps.notice:
            grid.add_row(self._spinner, "", Text(self.steps.notice))
        for step in self.steps.services.values():
            mark, style = MARKS.get(step.state, ("", ""))
            grid.add_row(Text(mark, style) if mark else self._spinner, step.name, Text(step.text, style))
        return grid
