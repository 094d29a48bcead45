"""The service file as values. Sizes are bytes, durations seconds, times epoch seconds.

The loader (`spec.load`) makes these from YAML; `model_dump(mode="json")` of a `Service` is what a release stores.
What is said here about a key (kind, bounds, description) is also what the JSON Schema and the messages say.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model
from fourfold.spec.deploy import Deploy
from fourfold.spec.function import Function
from fourfold.spec.gateway import Route
from fourfold.spec.scaling import Instances, Scaling
from fourfold.spec.secret_use import read_secret_use
from fourfold.spec.shared import Shared
from fourfold.spec.triggers import Job, Trigger
from fourfold.spec.units import shown

Pattern = Literal["process", "shared", "container", "vm", "function"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
"""How a service may run, in this version."""


class IoLimits(Model):
    """Bytes per second to and from block devices."""

    read: f.Rate | None = Field(default=None, gt=0, description="Bytes per second read, or 50MB/s")
    write: f.Rate | None = Field(default=None, gt=0, description="Bytes per second written, or 20MB/s")


class Resources(Model):
    """Upper bounds of one instance with all its children. What this host cannot enforce is said by `status`."""

    cpu: f.Number | None = Field(default=None, gt=0, le=1024, description="Cores: 0.5 is half of one")
    memory: f.Size | None = Field(default=None, ge=1024 * 1024, description="Bytes, or 256Mi")
    pids: f.Whole | None = Field(default=None, ge=1, le=4_000_000, description="Processes and threads; 4096 without it")
    io: IoLimits | None = Field(default=None, description="Disk traffic")


class Probe(Model):
    """One way to ask an instance how it is: an HTTP path (2xx or 3xx is well), a TCP connect, or a command (exit 0)."""

    path: f.UrlPath | None = Field(default=None, description="HTTP path on the instance's port; 2xx or 3xx is well")
    tcp: bool | None = Field(default=None, description="Well when the port takes a connection")
    command: f.Command | None = Field(default=None, description="Well when it exits with 0")
    interval: f.Duration = Field(default=10.0, gt=0, description="From one question to the next")
    timeout: f.Duration = Field(default=1.0, gt=0, description="How long an answer may take")
    failures: f.Whole = Field(default=3, ge=1, description="Failures in a row before it counts as unwell")

    @model_validator(mode="after")
    def _one_kind(self) -> Probe:
        if sum(bool(kind) for kind in (self.path, self.tcp, self.command)) > 1:
            raise ValueError("give one of path, tcp and command, not several")
        return self


class Health(Probe):
    """Readiness: no traffic before it is well."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"path": "/healthz"}]})

    grace: f.Duration = Field(default=30.0, ge=0, description="How long a start may take before it counts as failed")
    live: Probe | None = Field(default=None, description="Liveness: failing it restarts the instance")

    @model_validator(mode="after")
    def _live_asks_something(self) -> Health:
        if self.live and not (self.live.path or self.live.tcp or self.live.command):
            raise ValueError("`live` needs one of path, tcp and command")
        return self


class FixedPort(Model):
    """Exactly this port of the host: one instance at a time."""

    model_config = ConfigDict(json_schema_extra={"x-is": "{fixed: NUMBER}"})

    fixed: f.Whole = Field(ge=1, le=65535, description="The port")


class Static(Model):
    """Files served instead of a program."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dir": "dist"}]})

    dir: f.InnerPath = Field(default=".", description="Folder inside the source (after `build`)")
    fallback: f.InnerPath | None = Field(default=None, description="Served where no file is: index.html of a SPA")


class SecretUse(Model):
    """One secret as a service sees it: environment variable `env`, filled from the app's secret `name`."""

    env: f.EnvName
    name: f.SecretName
    file: f.SecretPath | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        return read_secret_use(value)


class Volume(Model):
    """A folder that outlives instances and releases."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "uploads", "path": "/data"}]})

    name: f.Name = Field(description="Its name within the service")
    path: f.FolderPath = Field(description="Where instances see it")


class StopPolicy(Model):
    """How an instance ends: no new requests, those in flight finish, then `signal`, then SIGKILL."""

    signal: f.Signal = Field(default="TERM", description="TERM, INT, QUIT, …")
    drain: f.Duration = Field(default=30.0, ge=0, description="How long requests in flight may take to end")
    grace: f.Duration = Field(default=10.0, ge=0, description="From the stop signal to SIGKILL")


class Backoff(Model):
    """The wait before a restart doubles from `min` to `max`; the first restart is immediate."""

    min: f.Duration = Field(default=0.2, gt=0, description="The first wait")
    max: f.Duration = Field(default=30.0, gt=0, description="The longest wait")

    @model_validator(mode="after")
    def _in_order(self) -> Backoff:
        if self.min > self.max:
            raise ValueError(f"min ({self.min:g} s) is greater than max ({self.max:g} s)")
        return self


class Restart(Model):
    """What happens when an instance ends by itself."""

    policy: Literal["always", "on-failure", "never"] = Field(default="always", description="When to start it again")
    backoff: Backoff = Field(default=Backoff(), description="How long to wait between restarts")


class Container(Model):
    """What only pattern container understands."""

    base: str = Field(
        default="debian", min_length=1, description="debian, scratch, or an image such as docker://alpine"
    )
    runtime: Literal["runc", "crun", "runsc"] = Field(default="runc", description="The OCI runtime; runsc is gVisor")
    network: Literal["bridge", "host"] = Field(default="bridge", description="Its own on a bridge, or the host's")
    isolation: Literal["namespace", "vm"] = Field(
        default="namespace", description="What keeps it apart from others: namespaces, or a kernel of its own"
    )
    read_only: bool = Field(default=True, description="Its root cannot be written; /tmp and volumes can")
    dockerfile: f.InnerPath | None = Field(default=None, description="Build with this file of the source instead")


class Vm(Model):
    """What only pattern vm understands."""

    base: str = Field(
        default="minimal", min_length=1, description="minimal, debian (systemd and ssh), or an image: docker://alpine"
    )
    template: Literal["boot", "ready", "off"] = Field(
        default="boot", description="What new machines continue from: a booted one, a ready service, or nothing"
    )
    machine: Literal["auto", "microvm", "q35"] = Field(default="auto", description="QEMU's machine; auto is microvm")


def _port_form(value: Any) -> str:
    return "map" if isinstance(value, dict | FixedPort) else "number"


Port = Annotated[
    Annotated[f.Whole, Field(ge=1, le=65535), Tag("number")] | Annotated[FixedPort, Tag("map")],
    Discriminator(_port_form),
]


class Service(Model):
    """One entry of `services`."""

    source: f.Source = Field(default=".", description="A directory, .jar, .zip or executable; starts with ./ or /")
    image: str | None = Field(
        default=None, min_length=1, description="Instead of source: docker://…, oci:… or docker-archive:…"
    )
    pattern: Pattern = Field(default="process", description="How it runs")
    runtime: f.Runtime | None = Field(
        default=None, description="python3.x, nodejsNN, javaNN, rubyN.N, go or static; found in the source"
    )
    build: f.Command | None = Field(default=None, description="Makes the artifact; found in the source when left out")
    run: f.Command | None = Field(
        default=None, description="Starts it. Text: through the shell; a list: as it is; found in the source"
    )
    static: Static | None = Field(default=None, description="Serve files instead of running a program")
    port: Port | None = Field(
        default=None, description="It listens on $PORT; {fixed: 8080} for exactly that one; static files need none"
    )
    protocol: Literal["http", "tcp"] = Field(
        default="http", description="What is spoken at its port; tcp: databases and the like, without routes"
    )
    route: Annotated[list[Route], f.OneOrMany] = Field(default=[], description="One or a list")
    health: Health | None = Field(default=None, description="When it counts as ready, and as alive")
    instances: Instances = Field(default=1, description="How many run: a number, or as many as their load asks for")
    resources: Resources = Field(default=Resources(), description="Limits of one instance")
    env: dict[f.EnvName, f.EnvValue] = Field(
        default={}, description="Its environment", examples=[{"LOG_LEVEL": "info"}]
    )
    secrets: list[SecretUse] = Field(
        default=[], description="Secrets it gets as variables or files", examples=[["API_KEY"]]
    )
    volumes: list[Volume] = Field(
        default=[], description="Folders kept over redeploys", examples=[[{"name": "uploads", "path": "/data"}]]
    )
    depends_on: list[str] = Field(
        default=[], description="Services and externals: start after, get <NAME>_URL", examples=[["catalog"]]
    )
    deploy: Deploy = Field(default=Deploy(), description="How a new release takes over")
    stop: StopPolicy = Field(default=StopPolicy(), description="How an instance ends")
    restart: Restart = Field(default=Restart(), description="What happens when it ends by itself")
    container: Container = Field(default=Container(), description="For pattern container")
    vm: Vm = Field(default=Vm(), description="For pattern vm")
    shared: Shared = Field(default=Shared(), description="For pattern shared: its group")
    function: Function = Field(default=Function(), description="A handler, and what is for pattern function")
    job: Job | None = Field(default=None, description="It runs to its end, on triggers or by `fourfold run`")
    triggers: list[Trigger] = Field(default=[], description="What it gets events from, under whichever pattern")

    @property
    def route_path(self) -> str:
        """The one path under which requests reach it, without `/` at its end; `/` where there are several, or it is
        stripped."""
        paths = {route.path.rstrip("/") or "/" for route in self.route}
        return paths.pop() if len(paths) == 1 and not any(route.strip for route in self.route) else "/"

    @property
    def called(self) -> str:
        """The host that we ask it for, as those behind its routes do: programs refuse names that are not theirs."""
        return next((route.host for route in self.route if route.host and "*" not in route.host), "localhost")

    @property
    def scaling(self) -> Scaling | None:
        return self.instances if isinstance(self.instances, Scaling) else None

    @property
    def count(self) -> int:
        """How many run at least."""
        return self.instances.min if isinstance(self.instances, Scaling) else self.instances

    @property
    def most(self) -> int:
        """How many may run."""
        return self.instances.max if isinstance(self.instances, Scaling) else self.instances

    @property
    def own_port(self) -> int | None:
        """Its port in a network of its instance's own."""
        return self.port.fixed if isinstance(self.port, FixedPort) else self.port

    def host_port(self, pattern: str) -> int | None:
        """The port of the host that an instance of that pattern must have: only one can."""
        shares_network = pattern == "process" or (pattern == "container" and self.container.network == "host")
        return self.port.fixed if shares_network and isinstance(self.port, FixedPort) else None

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_all_defaults(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _our_servers_need_a_port(cls, value: Any) -> Any:
        """Our servers, of static files and of handlers, listen on whatever `$PORT` says: nobody has to choose one."""
        if not isinstance(value, dict) or value.get("port") is not None:
            return value
        function = value.get("function")
        handles = isinstance(function, dict) and function.get("handler") is not None and value.get("run") is None
        ours = handles or value.get("static") is not None or value.get("runtime") == "static"
        return {**value, "port": 8080} if ours and value.get("job") is None else value

    @model_validator(mode="before")
    @classmethod
    def _probes_are_no_events(cls, value: Any) -> Any:
        """A request to a handler would be an event, so that its server is asked for a connection only."""
        function = value.get("function") if isinstance(value, dict) else None
        handles = isinstance(function, dict) and function.get("handler") is not None and value.get("run") is None
        health = value.get("health") or {} if handles else None
        if not isinstance(health, dict) or value.get("job") is not None or health.keys() & {"path", "tcp", "command"}:
            return value
        return {**value, "health": {**health, "tcp": True}}


DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "postgres": 5432,
    "postgresql": 5432,
    "mysql": 3306,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "amqps": 5671,
    "mongodb": 27017,
    "nats": 4222,
    "ldap": 389,
    "smtp": 25,
    "memcached": 11211,
}
"""Of the schemes that urls of externals usually have."""


class External(Model):
    """Something this app uses and does not run; gives `<NAME>_URL` to those that depend on it."""

    url: str = Field(min_length=1, description="What `<NAME>_URL` holds")
    check: Literal["tcp", "http", "none"] = Field(default="none", description="How to see whether it is there")
    timeout: f.Duration = Field(default=3.0, gt=0, description="How long the check may take")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of `url`, the port from its scheme when it has none; None where that is not known."""
        parts = _split(self.url)
        port = parts and (parts.port or DEFAULT_PORTS.get(parts.scheme.lower()))
        return (parts.hostname, port) if parts and parts.hostname and port else None

    @model_validator(mode="after")
    def _can_be_checked(self) -> External:
        parts = _split(self.url)
        if parts is None or not parts.scheme or not parts.netloc:
            raise ValueError(f"expected a url such as postgres://db.internal/shop, got {shown(self.url)}")
        if self.check == "http" and parts.scheme.lower() not in ("http", "https"):
            raise ValueError(f"check: http needs an http:// or https:// url, got {shown(self.url)}")
        if self.check != "none" and self.address is None:
            raise ValueError(f"check: {self.check} needs a url with a host and a port, got {shown(self.url)}")
        return self


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is no number
    except ValueError:
        return None
    return parts
