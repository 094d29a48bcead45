"""The service file as values. Sizes are bytes, durations seconds, times epoch seconds.

The loader (`spec.load`) makes these from YAML; `model_dump(mode="json")` of a `Service` is what a release stores.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from fourfold.spec.units import parse_duration, parse_rate, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Rate = Annotated[int, BeforeValidator(parse_rate)]

NAME = r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _scalar_to_str(value: Any) -> Any:
    """YAML's 8080, true and 1.5 are strings in an environment; maps and lists stay errors."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


EnvValue = Annotated[str, BeforeValidator(_scalar_to_str)]


class Resources(Model):
    cpu: float | None = Field(default=None, gt=0, le=1024, description="Cores")
    memory: Size | None = Field(default=None, ge=1024 * 1024, description="Bytes, or 256Mi")
    pids: int | None = Field(default=None, ge=1)
    io: IoLimits | None = None


class IoLimits(Model):
    read: Rate | None = Field(default=None, gt=0, description="Bytes per second, or 50MB/s")
    write: Rate | None = Field(default=None, gt=0)


class Probe(Model):
    """One way to ask an instance how it is: an HTTP path (2xx or 3xx is well), a TCP connect, or a command (exit 0)."""

    path: str | None = Field(default=None, pattern=r"^/")
    tcp: bool | None = None
    command: str | list[str] | None = None
    interval: Duration = Field(default=5.0, gt=0)
    timeout: Duration = Field(default=1.0, gt=0)
    failures: int = Field(default=3, ge=1, description="Failures in a row before it counts as unwell")

    @model_validator(mode="after")
    def _one_kind(self) -> Probe:
        if sum(bool(kind) for kind in (self.path, self.tcp, self.command)) > 1:
            raise ValueError("give one of path, tcp, command")
        return self


class Health(Probe):
    grace: Duration = Field(default=30.0, ge=0, description="How long a start may take before it counts as failed")
    live: Probe | None = Field(default=None, description="Liveness: failing it restarts the instance")


class Route(Model):
    host: str | None = None
    path: str = Field(default="/", pattern=r"^/")
    method: str | list[str] | None = None
    strip: bool = False
    timeout: Duration = Field(default=60.0, gt=0)

    @property
    def methods(self) -> tuple[str, ...]:
        given = [self.method] if isinstance(self.method, str) else self.method or []
        return tuple(sorted({method.upper() for method in given}))


class FixedPort(Model):
    fixed: int = Field(ge=1, le=65535)


class Static(Model):
    dir: str = "."
    fallback: str | None = None


class SecretUse(Model):
    """One secret as a service sees it: environment variable `env`, filled from the app's secret `name`."""

    env: EnvName
    name: str
    file: str | None = Field(default=None, pattern=r"^/run/secrets/[^/]+$")


class Volume(Model):
    name: Name
    path: str = Field(pattern=r"^/")


class Deploy(Model):
    strategy: Literal["rolling", "recreate"] = "rolling"
    max_surge: int = Field(default=1, ge=0)
    max_unavailable: int = Field(default=0, ge=0)
    min_ready: Duration = Field(default=0.0, ge=0, description="How long an instance must stay ready to count")
    timeout: Duration = Field(default=60.0, gt=0, description="Without progress for this long a deployment fails")
    rollback: Literal["auto", "off"] = "auto"
    before: str | list[str] | None = Field(default=None, description="Run once per release; failure stops the deploy")

    @field_validator("rollback", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML 1.1 readers turn off into false

    @model_validator(mode="after")
    def _can_move(self) -> Deploy:
        if self.strategy == "rolling" and self.max_surge == 0 and self.max_unavailable == 0:
            raise ValueError("max_surge and max_unavailable cannot both be 0: no instance could ever be replaced")
        return self


class StopPolicy(Model):
    signal: str = Field(default="TERM", pattern=r"^[A-Z0-9]+$")
    drain: Duration = Field(default=30.0, ge=0, description="How long requests in flight may take to end")
    grace: Duration = Field(default=10.0, ge=0, description="From the stop signal to SIGKILL")


class Backoff(Model):
    min: Duration = Field(default=0.2, gt=0)
    max: Duration = Field(default=30.0, gt=0)


class Restart(Model):
    policy: Literal["always", "on-failure", "never"] = "always"
    backoff: Backoff = Backoff()


class Service(Model):
    """One entry of `services`."""

    source: str = Field(default=".", description="A directory, .jar, .zip or executable; starts with ./ or /")
    pattern: Literal["process"] = "process"
    runtime: str | None = Field(
        default=None, description="python3.x, nodejsNN, javaNN, rubyN.N, go or static; found in the source"
    )
    build: str | list[str] | None = None
    run: str | list[str] | None = None
    static: Static | None = None
    port: int | FixedPort | None = None
    route: list[Route] = []
    health: Health | None = None
    instances: int = Field(default=1, ge=0, le=10_000)
    resources: Resources = Resources()
    env: dict[EnvName, EnvValue] = {}
    secrets: list[SecretUse] = []
    volumes: list[Volume] = []
    depends_on: list[str] = []
    deploy: Deploy = Deploy()
    stop: StopPolicy = StopPolicy()
    restart: Restart = Restart()


class External(Model):
    """Something this app uses and does not run; gives `<NAME>_URL` to those that depend on it."""

    url: str
    check: Literal["tcp", "http", "none"] = "none"
    timeout: Duration = Field(default=3.0, gt=0)


class Tls(Model):
    cert: str
    key: str


class Gateway(Model):
    listen: str = Field(default=":8080", pattern=r"^(\S*):\d{1,5}$")
    tls: Tls | None = None
    redirect: bool = Field(default=False, description="With tls: http on port 80 of the same address is sent to https")


class App(Model):
    """A whole `fourfold.yaml`, after interpolation, overlays and defaults."""

    app: Name
    services: dict[Name, Service] = Field(min_length=1)
    externals: dict[Name, External] = {}
    gateway: Gateway = Gateway()
