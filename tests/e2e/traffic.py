"""Clients of every kind at once, and one count of what they lost."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from tests.support.load import Load
from tests.support.report import Report
from tests.support.wait import until


class Traffic:
    """GETs and POSTs, each from clients that keep their connection and from clients that never do.

    A POST is answered after 50 ms, so that some are always in flight, and no gateway may send one twice: what a drain
    forgets, or an instance that is not ready yet refuses, is lost.
    """

    def __init__(self, port: int, rps: float = 40.0, at: str = "") -> None:
        """`rps`: of each of the four kinds; `at`: the path before those of the test's service."""
        self._loads = [
            Load(
                f"http://127.0.0.1:{port}{at}{path}",
                method=method,
                keep_alive=keep_alive,
                connections=connections,
                rps=rps,
                version=r"(?i)x-version: (\w+)",
                max_seconds=3600,
            )
            for method, path, connections in (("GET", "/", 1), ("POST", "/slow?seconds=0.05", 3))
            for keep_alive in (0.0, 1.0)
        ]
        self._running = ExitStack()

    def __enter__(self) -> Traffic:
        for load in self._loads:
            self._running.enter_context(load)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def flow(self) -> None:
        """Until some more of each kind have been answered."""
        goals = [(load, load.report().ok + 15) for load in self._loads]
        until(lambda: all(load.report().ok >= goal for load, goal in goals), 60, "answers of every kind")

    def report(self) -> Report:
        """Of all together; complete once the `with` has been left."""
        return Report.of_all(load.report() for load in self._loads)

    def unharmed(self) -> dict[str, int]:
        """Nothing was lost. -> how many each version has answered."""
        report = self.report()
        assert not report.failed, str(report)
        assert all(load.report().ok for load in self._loads)
        return dict(report.versions)
