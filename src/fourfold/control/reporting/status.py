"""Rows and measurements -> the answers of `status`, `apps`, `history`, `top`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from fourfold import __version__
from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.deploying import stagewords
from fourfold.control.goals import desired, host_key, moves, pattern_of, rollout_of
from fourfold.control.instances.taken import taken
from fourfold.control.registry import Registry
from fourfold.control.routing.claims import gateway_of
from fourfold.control.routing.routing import maintenance_of
from fourfold.control.scaling.status import scaling_view
from fourfold.errors import NotFoundError
from fourfold.gateway.model import InstanceStats
from fourfold.launch.model import Powers
from fourfold.launch.patterns import unenforced
from fourfold.plan.model import Answered
from fourfold.plan.restart import is_crash_loop
from fourfold.plan.scaling import Decision
from fourfold.spec.gateway import Route
from fourfold.spec.groups import Host
from fourfold.store.model import AppRow, Deployment, InstanceRow, MaintenanceRow, ServiceRow
from fourfold.supervise.hosts.hosted import Hosted
from fourfold.supervise.model import Usage

UsageOf = Callable[[str], Usage | None]


class Status:
    def __init__(
        self,
        registry: Registry,
        powers: Callable[[], Powers],
        usage: UsageOf,
        unserved: Callable[[str], str | None],
        job: Callable[[ServiceRow], v.JobView | None] = lambda row: None,
        hosted: Callable[[InstanceRow], Hosted | None] = lambda row: None,
        served: Callable[[], Mapping[str, InstanceStats]] = dict,
        coming: Callable[[str], NotFoundError | None] = lambda app: None,
        scaled: Callable[[ServiceRow], tuple[float, Decision] | None] = lambda row: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`unserved`: why the gateway does not serve the routes of an app; `job`: what a service does that is one;
        `hosted`: what a guest's host last said of it; `served`: what the gateway last knew of instances;
        `coming`: what is said of an app that is not there yet; `scaled`: what was decided last of its count."""
        self._scaled = scaled
        self._coming = coming
        self._now = now
        self._hosted = hosted
        self._served = served
        self._job = job
        self._unserved = unserved
        self.lambda_api: str | None = None
        """Its URL, while its listener is open."""
        self._registry = registry
        self._powers = powers
        self._usage = usage

    def need_app(self, name: str) -> AppRow:
        if (row := self._registry.store.apps.get(name)) is None and (coming := self._coming(name)) is not None:
            raise coming
        return row or self._registry.store.apps.need(name)

    def app(self, name: str) -> v.StatusView:
        row, url = self.need_app(name), self.gateway_url(name)
        return v.StatusView(
            app=name,
            gateway=url,
            gateway_problem=self._unserved(name) if url else None,
            daemon=v.DaemonView(pid=os.getpid(), version=__version__),
            lambda_api=self.lambda_api,
            file=row.file,
            services=[self.service(service) for service in self._registry.of_app(name)],
            not_in_file=[each.name for each in self._registry.of_app(name) if each.name not in row.services],
        )

    def apps(self) -> list[v.AppView]:
        return [self._app_line(row) for _, row in sorted(self._registry.apps.items()) if row.candidate_of is None]

    def _app_line(self, row: AppRow) -> v.AppView:
        services = self._registry.of_app(row.name)
        return v.AppView(
            name=row.name,
            services=len(services),
            ready=sum(self._ready(service) for service in services),
            desired=sum(self._desired(service) for service in services),
            gateway=self.gateway_url(row.name),
            file=row.file,
            updated_at=rfc3339(row.updated_at),
        )

    def gateway_url(self, app: str) -> str | None:
        """Where a person reaches the app, if any of its services has a route."""
        if not any(self._routes(service) for service in self._registry.of_app(app)):
            return None
        gateway = gateway_of(self._registry, app)
        scheme = "https" if gateway.tls else "http"
        host, _, port = gateway.listen.rpartition(":")
        shown = "127.0.0.1" if host in ("", "0.0.0.0", "*", "[::]") else host
        return f"{scheme}://{shown}:{port}"

    # -- services -------------------------------------------------------------------------------------------------

    def service(self, row: ServiceRow) -> v.ServiceView:
        key = f"{row.app}.{row.name}"
        spec = self._registry.spec(key, row.release)
        group = self._registry.services.get(host_key(row, spec) or "")
        deployment = self._registry.deployments.get(key)
        shown, served = filter(self._is_shown, self._registry.of_service(key)), self._served()
        return v.ServiceView(
            name=row.name,
            pattern=pattern_of(row),
            target="local",
            release=row.release,
            desired=self._desired(row),
            ready=self._ready(row),
            stopped=row.stopped or (group is not None and group.stopped),
            overrides=row.overrides,
            deployment=deployment_view(deployment, self.step(key)),
            routes=[route_text(route) for route in spec.route],
            urls=[self._url(row.app, route) for route in spec.route],
            limits_missing=unenforced(pattern_of(row), spec, self._powers()),
            instances=[self.instance(each, served.get(each.id)) for each in shown],
            job=self._job(row),
            group=spec.shared.group if pattern_of(row) == "shared" else None,
            kind=spec.group.kind if isinstance(spec, Host) else None,
            scaling=scaling_view(row, self._scaled(row)),
            maintenance=maintenance_view(maintenance_of(self._registry, row)) if spec.route else None,
        )

    def step(self, key: str) -> v.StepView | None:
        """Where its deployment is that goes by steps."""
        deployment = self._registry.running_deployment(key)
        if deployment is None or not deployment.staged:
            return None
        how = rollout_of(self._registry, deployment)
        answered = self._registry.answered.get(key, (Answered(), Answered()))
        return stagewords.view(deployment, how, answered, self._now())

    def group_of(self, row: ServiceRow) -> v.ServiceView | None:
        """The group that a service lives in."""
        key = host_key(row, self._registry.spec(f"{row.app}.{row.name}", row.release))
        group = self._registry.services.get(key) if key is not None else None
        return self.service(group) if group is not None else None

    def _is_shown(self, row: InstanceRow) -> bool:
        return row.role == "serve" or (row.role == "run" and row.state != "exited")

    def desired(self, row: ServiceRow) -> int:
        """How many instances are to run; none of a job."""
        return self._desired(row)

    def _desired(self, row: ServiceRow) -> int:
        spec = self._registry.spec(f"{row.app}.{row.name}", row.release)
        if row.stopped or row.removed or spec.job is not None:
            return 0
        if (key := host_key(row, spec)) is not None:  # one in each host
            group = self._registry.services.get(key)
            return self._desired(group) if group is not None else 0
        return desired(row)

    def _ready(self, row: ServiceRow) -> int:
        rows = self._registry.of_service(f"{row.app}.{row.name}")
        return sum(each.state == "ready" and each.role == "serve" for each in rows)

    def _routes(self, row: ServiceRow) -> list[Route]:
        return self._registry.spec(f"{row.app}.{row.name}", row.release).route

    def _url(self, app: str, route: Route) -> str:
        base = self.gateway_url(app) or ""
        if route.host is None or route.host.startswith("*"):
            return base + route.path
        scheme, _, address = base.partition("://")
        port = address.rpartition(":")[2]
        usual = (scheme, port) in (("http", "80"), ("https", "443"))
        return f"{scheme}://{route.host}{'' if usual else ':' + port}{route.path}"

    # -- instances ------------------------------------------------------------------------------------------------

    def instance(self, row: InstanceRow, stats: InstanceStats | None = None) -> v.InstanceView:
        runs = row.pid is not None and row.state != "exited"
        usage = self._usage(row.id) if runs else None
        takes = taken(usage, self._hosted(row) if runs and row.host is not None else None)
        ready_after = None
        if row.ready_at is not None and row.started_at is not None:
            ready_after = round(row.ready_at - row.started_at, 3)
        return v.InstanceView(
            id=row.id,
            release=row.release,
            pattern=row.pattern,
            state=shown_state(row),
            address=f"{row.reached_at}:{row.port}" if row.port is not None else None,
            pid=row.pid if row.state != "exited" else None,
            host=row.host,
            restarts=row.restarts,
            started_at=rfc3339(row.started_at) if row.started_at is not None else None,
            ready_after=ready_after,
            cpu_seconds=round(takes.cpu_seconds, 3) if takes.cpu_seconds is not None else None,
            memory_bytes=takes.memory_bytes,
            exit=exit_view(row),
            cpu=takes.cpu,
            memory=takes.memory,
            traffic=traffic_view(stats) if runs else None,
        )

    # -- history --------------------------------------------------------------------------------------------------

    def with_history(self, app: str, service: str | None) -> list[str]:
        """Services of which it is known what they were. Raises NotFoundError where that one, or the app, is not."""
        known = {release.service for release in self._registry.store.releases.of_app(app)}
        if not known:  # `down` keeps history, so an app that is not there may have one
            self.need_app(app)
        if service is not None and service not in known:
            raise NotFoundError(
                f"cannot show the history of {service}: app {app} has {', '.join(sorted(known)) or 'no releases'}"
            )
        return sorted(known) if service is None else [service]

    def history(self, app: str, service: str | None) -> list[v.ReleaseView]:
        store = self._registry.store
        shown = []
        for name in self.with_history(app, service):
            row = self._registry.services.get(f"{app}.{name}")
            deployments = store.deployments.of(app, name)
            builds = store.builds.of(app, name)
            for release in store.releases.of(app, name):
                ended = [deployment_text(each) for each in deployments if each.release == release.number]
                shown.append(
                    v.ReleaseView(
                        service=name,
                        number=release.number,
                        current=row is not None and row.release == release.number,
                        actor=release.actor,
                        commit=release.commit,
                        message=release.message,
                        created_at=rfc3339(release.created_at),
                        source=release.source,
                        patterns=[build.pattern for build in builds if build.number == release.number],
                        deployments=list(reversed(ended)),
                    )
                )
        return shown


def deployment_view(deployment: Deployment | None, step: v.StepView | None = None) -> v.DeploymentView:
    if deployment is None:
        return v.DeploymentView(state="none", reason=None)
    return v.DeploymentView(state=deployment.state, reason=deployment.reason, step=step)


def deployment_text(deployment: Deployment) -> str:
    """`done`, `failed: exit code 3`, `as container: done`."""
    if deployment.state == "superseded" and deployment.reason:
        return deployment.reason
    state = f"as {deployment.pattern}: {deployment.state}" if moves(deployment) else deployment.state
    return f"{state}: {deployment.reason}" if deployment.reason else state


def shown_state(row: InstanceRow) -> v.State:
    """For people: why an exited instance is not running now."""
    assert row.state != "gone"  # only `explain` tells of those, by their ends
    if row.state == "exited":
        return "crash-loop" if is_crash_loop(row.failures) else "backoff"
    if row.role == "run" and row.state == "starting":
        return "running" if row.pid is not None else "starting"
    return "stopping" if row.state == "killing" else row.state


def traffic_view(stats: InstanceStats | None) -> v.TrafficView | None:
    if stats is None:
        return None
    return v.TrafficView(
        requests=stats.requests,
        errors_5xx=stats.errors_5xx,
        errors_4xx=stats.errors_4xx,
        in_flight=stats.in_flight,
        response_seconds=round(stats.response_seconds, 4),
    )


def maintenance_view(row: MaintenanceRow | None) -> v.MaintenanceView | None:
    if row is None:
        return None
    return v.MaintenanceView(
        since=rfc3339(row.since),
        actor=row.actor,
        retry_after=row.retry_after,
        allowed=list(row.allowed),
        whole_app=not row.service,
    )


def exit_view(row: InstanceRow) -> v.ExitView | None:
    if row.exit is None:
        return None
    return v.ExitView(
        code=row.exit["code"],
        signal=row.exit["signal"],
        oom=row.exit["oom"],
        at=rfc3339(row.exit["at"]),
        reason=row.exit["reason"],
    )


def route_text(route: Route) -> str:
    methods = "|".join(route.methods)
    return f"{methods} {route.host or ''}{route.path}".strip()
