"""Programs in and beside instances, and runs of jobs."""

from __future__ import annotations

import secrets as random
from collections.abc import AsyncIterator, Sequence

from fourfold.control import views as v
from fourfold.control.goals import pattern_of
from fourfold.control.requests.base import Requests
from fourfold.errors import NotFoundError, UserError
from fourfold.store.model import InstanceRow
from fourfold.supervise.attach import Attached
from fourfold.supervise.model import LogLine


class Programs(Requests):
    async def exec(
        self, app: str, service: str, instance: str | None, argv: Sequence[str], tty: bool, actor: str = ""
    ) -> Attached:
        parts = self._parts
        self._need(app, service)
        rows = [row for row in parts.registry.of_service(f"{app}.{service}") if row.pid and row.state != "exited"]
        if instance is not None:
            rows = [row for row in rows if row.id in (instance, f"{app}.{instance}")]
        if not rows:
            raise NotFoundError(
                f"cannot exec in {instance or service}: no instance of it runs", f"see: fourfold explain {service}"
            )
        row = sorted(rows, key=lambda each: each.state != "ready")[0]
        if row.pattern == "function":
            raise UserError(
                f"cannot exec in {row.id}: a sandbox is there for one event at a time, and frozen in between",
                f"`fourfold invoke {service}` gives it an event, `fourfold run {service} -- CMD` runs beside it",
            )
        launch = parts.starter.launch(row, parts.registry.spec(f"{app}.{service}", row.release), tuple(argv))
        names = {use.name for use in parts.registry.spec(f"{app}.{service}", row.release).secrets}
        attached = await parts.supervisor.enter(launch, parts.store.secrets.resolve(app, names), tty)
        self._tell_program("inside", row, argv, actor)
        return attached

    async def run(self, app: str, service: str, argv: Sequence[str], tty: bool, actor: str = "") -> Attached:
        parts = self._parts
        row = self._need(app, service)
        now = parts.clock.now()
        made = InstanceRow(
            id=f"{app}.{service}-run-{random.token_hex(3)}",
            app=app,
            service=service,
            release=row.release,
            revision="run",
            role="run",
            state="starting",
            created_at=now,
            changed_at=now,
            pattern=pattern_of(row),
            run=1,
        )
        spec = parts.registry.spec(f"{app}.{service}", row.release)
        launch = parts.starter.launch(parts.starter.lent(made, spec), spec, tuple(argv))
        names = {use.name for use in spec.secrets}
        attached = await parts.supervisor.attach(launch, parts.store.secrets.resolve(app, names), tty)
        self._tell_program("beside", made, argv, actor)
        return attached

    def _tell_program(self, where: str, row: InstanceRow, argv: Sequence[str], actor: str) -> None:
        """Which program, and not with what arguments: those may be secrets."""
        what = f"{argv[0]} was started {where} {row.id if where == 'inside' else row.service}"
        self._parts.bus.emit(
            "program.started", what, app=row.app, service=row.service, instance=row.id, actor=actor or None
        )

    async def start_run(self, app: str, service: str, event: str, actor: str) -> v.RunView:
        self._need(app, service)
        return self._parts.running.start(app, service, event, actor)

    async def runs(self, app: str, service: str | None) -> list[v.RunView]:
        self._parts.status.with_history(app, service)
        return self._parts.running.runs(app, service)

    async def follow_run(self, app: str, run: str, skip: int) -> AsyncIterator[LogLine | v.RunView]:
        async for item in self._parts.running.follow(app, run, skip):
            yield item
