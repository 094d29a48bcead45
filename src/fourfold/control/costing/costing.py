"""What services cost: their recorded traffic, what they take under each pattern, what they ask for, and prices.

What is in the store is gathered on the event loop; files (prices, journals of functions) are read beside it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fourfold.clock import Clock, rfc3339
from fourfold.control import views as v
from fourfold.control.costing.hourly import runs, traffic
from fourfold.control.costing.journals import Journals, Sums, month_of
from fourfold.control.costing.metering import Metering
from fourfold.control.goals import count_of, pattern_of
from fourfold.control.groups.groups import members
from fourfold.control.registry import Registry, key_of
from fourfold.control.scaling.counting import most_of
from fourfold.control.settings import Settings
from fourfold.cost.comparison import PATTERNS, Comparison, Pattern
from fourfold.cost.functions import Taken, bill
from fourfold.cost.model import Footprint, Hour, Traffic, Wanted
from fourfold.cost.results import Measured
from fourfold.errors import FourfoldError, NotFoundError, UserError
from fourfold.launch.function import sandbox_memory
from fourfold.paths import Paths
from fourfold.spec.groups import Host
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.model import ServiceRow, UsageHour

if TYPE_CHECKING:  # they take long to import, and most daemons are never asked
    from fourfold.cost.prices import Prices
    from fourfold.cost.results import ServiceCost

log = logging.getLogger(__name__)

PAST_SECONDS = 30 * 86_400.0
"""Traffic is that of the last month: what was before says less about the next."""
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def check_month(text: str) -> str:
    if not _MONTH.fullmatch(text):
        raise UserError(f"cannot show the cost of {text!r}: it is no month", "give one such as 2026-11")
    return text


@dataclass(frozen=True)
class Recorded:
    """What is stored of a service that costs something."""

    app: str
    service: str
    pattern: Pattern
    """That it runs under now."""
    release: int
    spec: Service
    begun: float
    rows: tuple[UsageHour, ...]
    comparison: Comparison | None
    """The newest."""
    wanted: Wanted
    now: float

    def traffic(self, functions: Sums, pattern: Pattern | None = None) -> Traffic:
        """Of all patterns together, or of what ran under one."""
        since = self.now - PAST_SECONDS
        if self.wanted.job:
            return runs(self.rows, max(self.begun, since), self.now, pattern)
        invocations = {hour: taken for hour, taken in functions.hours.items() if hour >= since}
        return traffic(self.rows, invocations, self.begun, self.now, pattern)


class Costing:
    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        registry: Registry,
        journals: Journals,
        metering: Metering,
        artifacts: Artifacts,
        clock: Clock,
    ) -> None:
        self._config = paths.config
        self._settings = settings
        self._registry = registry
        self._journals = journals
        self._metering = metering
        self._artifacts = artifacts
        self._clock = clock

    async def view(self, app: str, asked: v.CostRequest) -> v.CostView:
        """Of one service, or of all that there are and were. WorldError: a journal cannot be read.

        UserError, SpecError: the price file cannot be read, or is wrong.
        """
        month = check_month(asked.month) if asked.month is not None else month_of(self._clock.now())
        recorded = await self.recorded(app, asked.service)
        functions = [name for name in self._journals.services(app) if asked.service in (None, name)]
        return await asyncio.to_thread(self._view, app, asked, month, recorded, functions)

    def services(self, app: str) -> list[str]:
        """Of which anything was recorded, whether they are there or not."""
        return sorted({*self._journals.services(app), *self._registry.store.usage.services(app)})

    async def recorded(self, app: str, service: str | None = None) -> list[Recorded]:
        """Up to now, of one or all services that an app has. UserError: that one is a group."""
        try:
            await self._metering.look()
        except FourfoldError as error:
            log.error("%s", error)  # what was recorded before can be told all the same
        rows = [row for row in self._registry.of_app(app) if service in (None, row.name) and not row.removed]
        found = [each for row in rows if (each := self._recorded(row)) is not None]
        if service is not None and rows and not found:
            raise UserError(f"cannot tell what {service} takes: it is a group", "name one of its members")
        return found

    async def usage(self, app: str, service: str | None = None) -> v.UsageView:
        """Hours, as `cost --usage` takes them."""
        recorded = await self.recorded(app, service)
        return await asyncio.to_thread(self._usage, app, recorded)

    async def priced(self, app: str, comparison: Comparison) -> Comparison:
        """With what it would cost at the traffic and the prices of now. UserError, SpecError: the price file."""
        recorded = await self.recorded(app, comparison.service)
        return await asyncio.to_thread(self._priced, comparison, recorded)

    # -- from the store -----------------------------------------------------------------------------------------------

    def _recorded(self, row: ServiceRow) -> Recorded | None:
        """None: a group, whose members are told of."""
        key, store, now = key_of(row), self._registry.store, self._clock.now()
        spec = self._registry.spec(key, row.release)
        if isinstance(spec, Host):
            return None
        pattern = next(each for each in PATTERNS if each == pattern_of(row))
        releases = store.releases.of(row.app, row.name)
        newest = store.comparisons.newest(row.app, row.name)
        return Recorded(
            app=row.app,
            service=row.name,
            pattern=pattern,
            release=row.release,
            spec=spec,
            begun=min((each.created_at for each in releases), default=0.0),
            rows=tuple(store.usage.of(row.app, row.name, now - PAST_SECONDS)),
            comparison=Comparison.model_validate_json(newest.document) if newest is not None else None,
            wanted=self._wanted(row, spec, pattern),
            now=now,
        )

    def _wanted(self, row: ServiceRow, spec: Service, pattern: Pattern) -> Wanted:
        from fourfold.cost.wanted import wanted

        size = 0
        if (build := self._registry.build(key_of(row), row.release, pattern)) is not None:
            try:
                size = self._artifacts.get(build.artifact).size
            except NotFoundError:
                log.debug("the artifact of %s is not in the store", key_of(row))
        group = spec.shared.group
        others = {each.name for each in members(self._registry, row.app, group)} if group is not None else set()
        hosting = self._registry.services.get(f"{row.app}.{group}")
        hosts = count_of(hosting) if hosting is not None else None
        counts = int(row.overrides.get("instances", row.instances)), most_of(row)
        return wanted(spec, size, counts, len(others | {row.name}), hosts)

    # -- with files, in a thread --------------------------------------------------------------------------------------

    def _view(
        self, app: str, asked: v.CostRequest, month: str, recorded: Iterable[Recorded], functions: Iterable[str]
    ) -> v.CostView:
        from fourfold.control.costing.pricefile import prices_view

        prices, file = self.prices(asked.prices)
        sums = {name: self._journals.sums(app, name) for name in {*functions, *(each.service for each in recorded)}}
        rows = [_function(name, sums[name].months.get(month, Taken()), prices) for name in functions]
        return v.CostView(
            prices=prices_view(prices, file),
            services=[self._cost(each, sums[each.service], prices, asked.curves) for each in recorded],
            app=app,
            month=month,
            price_gb_second=prices.function_price.gb_second,
            price_request=prices.function_price.request,
            functions=rows,
            total_usd=sum(row.total_usd for row in rows),
        )

    def prices(self, given: v.PriceText | None = None) -> tuple[Prices, str | None]:
        """And the name of the file that is laid over Fourfold's. UserError, SpecError: it cannot be read, is wrong."""
        from fourfold.control.costing.pricefile import NAME, own_text, read_prices
        from fourfold.cost.prices import parse_prices

        if given is not None:
            return parse_prices([(NAME, own_text()), (given.name, given.text)]), given.name
        file = self._config / (self._settings.prices or NAME)
        there = bool(self._settings.prices) or file.exists()
        found = read_prices(file if there else None)
        said = self._settings.model_fields_set & {"price_gb_second", "price_request"}
        over = {name.removeprefix("price_"): getattr(self._settings, name) for name in said}
        found = found.model_copy(update={"lambda_": found.lambda_.model_copy(update=over)})
        return found, str(file) if there else None

    def _cost(self, known: Recorded, functions: Sums, prices: Prices, curves: bool = False) -> ServiceCost:
        from fourfold.cost.estimate import reasons
        from fourfold.cost.service import service_cost

        footprints = self._footprints(known, functions)
        why = dict(reasons(known.comparison)) if known.comparison is not None else {}
        why |= self._impossible(known)
        command = "run" if known.spec.job is not None else "compare"
        unknown = f"nothing is known yet of what it takes: `fourfold {command} {known.service}` measures it"
        why |= {pattern: unknown for pattern in PATTERNS if pattern not in footprints and pattern not in why}
        possible = {pattern: each for pattern, each in footprints.items() if pattern not in why}
        traffic = known.traffic(functions)
        return service_cost(
            known.service,
            known.pattern,
            traffic,
            possible,
            known.wanted,
            prices,
            unavailable=why,
            release=known.release,
            measured=_measured(known.comparison),
            curves=curves,
        )

    def _impossible(self, known: Recorded) -> dict[Pattern, str]:
        from fourfold.control.advising.impossible import impossible

        most = self._settings.function_timeout
        reasons = {pattern: impossible(known.service, known.spec, pattern, most) for pattern in PATTERNS}
        return {pattern: reason for pattern, reason in reasons.items() if reason is not None}

    def _footprints(self, known: Recorded, functions: Sums) -> dict[Pattern, Footprint]:
        """As measured by the newest comparison; else estimated from what it has taken as it runs."""
        from fourfold.cost.estimate import from_usage, of_all, under_all

        if known.comparison is not None and (measured := of_all(known.comparison)):
            return measured
        taken = from_usage(known.pattern, known.traffic(functions, known.pattern), known.wanted)
        if taken is None:
            return {}
        if known.pattern == "function":  # seen was its invoker with all its sandboxes: one takes no more than it may
            memory = min(taken.memory_bytes, sandbox_memory(known.spec))
            taken = replace(taken, memory_bytes=memory, next_memory_bytes=memory)
        return under_all(taken)

    def _priced(self, comparison: Comparison, recorded: Iterable[Recorded]) -> Comparison:
        from fourfold.cost.service import priced

        prices, _ = self.prices()
        for known in recorded:
            traffic = known.traffic(self._journals.sums(known.app, known.service))
            return priced(comparison, traffic if traffic.requests_per_month else None, known.wanted, prices)
        return priced(comparison, None, Wanted(), prices)

    def _usage(self, app: str, recorded: Iterable[Recorded]) -> v.UsageView:
        hours: list[v.HourView] = []
        for known in recorded:
            functions = self._journals.sums(app, known.service)
            used = [
                (hour, pattern)
                for pattern in PATTERNS
                for hour in known.traffic(functions, pattern).hours
                if hour.requests or hour.instances
            ]
            whole, told = known.traffic(functions).hours, {hour.start for hour, _ in used}
            ends = {*whole[:1], *whole[-1:]}  # between them, an hour without a line is one without requests
            used += [(hour, known.pattern) for hour in ends if hour.start not in told]
            used.sort(key=lambda each: each[0].start)
            hours += [_hour(known.service, pattern, hour) for hour, pattern in used]
        return v.UsageView(app=app, hours=hours)


def _measured(comparison: Comparison | None) -> Measured | None:
    """None: it has no figure from which costs are made."""
    from fourfold.cost.estimate import of_all

    if comparison is None or not of_all(comparison):
        return None
    return Measured(made_at=comparison.made_at, release=comparison.release, noise=comparison.noise)


def _hour(service: str, pattern: Pattern, hour: Hour) -> v.HourView:
    return v.HourView(
        hour=rfc3339(hour.start),
        service=service,
        pattern=pattern,
        requests=hour.requests,
        cpu_seconds=hour.cpu_seconds,
        memory_bytes=hour.memory_bytes,
        response_seconds=hour.response_seconds,
        instances=hour.instances,
    )


def _function(service: str, taken: Taken, prices: Prices) -> v.FunctionCostView:
    costs = bill(taken, prices.function_price)
    return v.FunctionCostView(
        service=service,
        requests=taken.requests,
        failed=taken.failed,
        billed_ms=taken.billed_ms,
        gb_seconds=taken.gb_seconds,
        requests_usd=costs.requests,
        duration_usd=costs.duration,
        total_usd=costs.total,
    )
