"""The whole store in one value: what `control` opens at its start and hands around."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.clock import Clock
from fourfold.paths import Paths
from fourfold.store.db import Database, open_database
from fourfold.store.secrets import Secrets
from fourfold.store.tables.allocations import Ports, Uids
from fourfold.store.tables.apps import Apps
from fourfold.store.tables.bakes import Bakes
from fourfold.store.tables.builds import Builds
from fourfold.store.tables.comparisons import Comparisons
from fourfold.store.tables.deployments import Deployments
from fourfold.store.tables.events import Events
from fourfold.store.tables.functions import Functions
from fourfold.store.tables.hooks import Hooks
from fourfold.store.tables.instances import Instances
from fourfold.store.tables.maintenance import Maintenances
from fourfold.store.tables.meta import Meta
from fourfold.store.tables.metrics import MetricCounts
from fourfold.store.tables.queue import Queued
from fourfold.store.tables.releases import Releases
from fourfold.store.tables.runs import Runs
from fourfold.store.tables.services import Services
from fourfold.store.tables.tokens import Tokens
from fourfold.store.tables.triggerstate import TriggerStates
from fourfold.store.tables.usage import Usage


@dataclass(frozen=True)
class Store:
    database: Database
    apps: Apps
    services: Services
    releases: Releases
    builds: Builds
    bakes: Bakes
    deployments: Deployments
    instances: Instances
    events: Events
    secrets: Secrets
    uids: Uids
    ports: Ports
    meta: Meta
    queue: Queued
    trigger_states: TriggerStates
    runs: Runs
    functions: Functions
    comparisons: Comparisons
    usage: Usage
    tokens: Tokens
    metrics: MetricCounts
    maintenance: Maintenances
    hooks: Hooks


def open_store(paths: Paths, clock: Clock) -> Store:
    """Open it, or make it; the folders have to be there (`layout.create`). Raises what `open_database` raises."""
    database = open_database(paths.database)
    return Store(
        database=database,
        apps=Apps(database),
        services=Services(database),
        releases=Releases(database),
        builds=Builds(database),
        bakes=Bakes(database),
        deployments=Deployments(database),
        instances=Instances(database),
        events=Events(database, clock),
        secrets=Secrets(database, paths.secrets_key, clock),
        uids=Uids(database),
        ports=Ports(database),
        meta=Meta(database),
        queue=Queued(database),
        trigger_states=TriggerStates(database),
        runs=Runs(database),
        functions=Functions(database),
        comparisons=Comparisons(database),
        usage=Usage(database),
        tokens=Tokens(database),
        metrics=MetricCounts(database),
        maintenance=Maintenances(database),
        hooks=Hooks(database),
    )
