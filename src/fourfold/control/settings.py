"""Settings of the daemon: flag, then environment (`FOURFOLD_…`), then `fourfold.toml`, then default."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fourfold.control.logformat import LogFormat
from fourfold.cost.prices import FunctionPrice
from fourfold.errors import UserError
from fourfold.store.garbage.quotas import Quotas
from fourfold.supervise.network.bridge import BridgeNetwork


def _ordered(span: tuple[int, int]) -> tuple[int, int]:
    if span[0] > span[1]:
        raise ValueError("must be two numbers, the smaller one first")
    return span


def _bridge(text: str) -> str:
    BridgeNetwork.parse(text)
    return text


def _listen(example: str, nowhere: str | None) -> AfterValidator:
    """An address and a port; `nowhere` is what stands for none."""

    def check(text: str) -> str:
        if text == nowhere:
            return text
        host, _, port = text.rpartition(":")
        try:
            if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
                raise ValueError
            ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            other = "" if nowhere is None else f", or {nowhere or 'empty'}"
            raise ValueError(f"must be an address and a port such as {example}{other}") from None
        return text

    return AfterValidator(check)


User = Annotated[int, Field(ge=1, lt=2**32 - 1)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Users = Annotated[tuple[User, User], AfterValidator(_ordered)]
Ports = Annotated[tuple[Port, Port], AfterValidator(_ordered)]
SPANS = ("uids", "ports", "internal_ports")


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    uids: Users = (790_000, 799_999)
    """Users of services, when the daemon is root. Each service keeps its own for life."""
    ports: Ports = (20_000, 29_999)
    """Where process instances listen: below the kernel's ephemeral range, so that outgoing connections stay clear."""
    internal_ports: Ports = (19_000, 19_999)
    """Where the gateway listens for calls between services."""
    build_timeout: float = Field(default=900.0, gt=0, allow_inf_nan=False)
    build_bytes: int = Field(default=2 * 1024**3, ge=1024**2)
    builds: int = Field(default=2, ge=1)
    """Builds at once."""
    build_memory: int = Field(default=0, ge=0)
    """Bytes for all processes of one build; 0 divides three quarters of the machine's memory among `builds`."""
    bakery_queue: int = Field(default=10, ge=1)
    """Builds of `POST /v1/builds` that each user may have waiting or being made."""
    bakery_bytes: int = Field(default=20 * 1024**3, ge=1024**2)
    """Of what those have made, kept for each user."""
    bakery_days: float = Field(default=7.0, gt=0, le=3650, allow_inf_nan=False)
    """How long they are kept."""
    artifact_bytes: int = Field(default=50 * 1024**3, ge=0)
    """Of all artifacts: with more, those of releases that nothing runs go."""
    free_bytes: int = Field(default=1024**3, ge=0)
    """What builds leave free on the disk; on a small one, a twentieth of it."""
    unisolated_builds: bool = False
    """As root, build also where bubblewrap cannot keep builds apart from the host."""
    bridge: Annotated[str, AfterValidator(_bridge)] = "fourfold0 10.177.0.1/16"
    """Of containers: its name, and its address in the network that they get theirs from."""
    function_timeout: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """Seconds that `function.timeout` may be at most, where the pattern is function."""
    prices: str = ""
    """A file of prices laid over Fourfold's own, below the config folder; empty: `prices.yaml`, if that is there."""
    price_gb_second: float = Field(default=FunctionPrice.gb_second, ge=0, allow_inf_nan=False)
    """US dollars that `fourfold cost` reckons with for a second of a function with 1 GiB."""
    price_request: float = Field(default=FunctionPrice.request, ge=0, allow_inf_nan=False)
    """And for each invocation."""
    abuse_seconds: float = Field(default=30.0, ge=1, le=3600, allow_inf_nan=False)
    """How long a member of a group takes too much before that is told; leaks, up to 60 times as long."""
    abuse_cpu: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Cores that it may take all that time while it answers next to nothing."""
    scale_interval: float = Field(default=5.0, ge=0.2, le=300, allow_inf_nan=False)
    """Seconds from one look at services that their load scales to the next."""
    smtp_listen: Annotated[str, _listen("127.0.0.1:2525", None)] = "127.0.0.1:2525"
    """Where mail for triggers of kind ses comes in. Nothing listens there while no service has one."""
    log_bytes: int = Field(default=16 * 1024**2, ge=64 * 1024)
    """Kept of each run of an instance."""
    log_total: int = Field(default=4 * 1024**3, ge=1024**2)
    """Of all logs: with more, those of what has ended go, the oldest first."""
    log_format: LogFormat = "text"
    """Of the daemon's own log."""
    lambda_listen: Annotated[str, _listen("127.0.0.1:9001", "off")] = "127.0.0.1:9001"
    """Where AWS Lambda's API answers; when another program has that port, at a free one after it. `off`: nowhere."""
    lambda_plain: bool = False
    """Answer there without TLS on addresses that others reach too: something in front of it has TLS."""
    api_listen: Annotated[str, _listen("0.0.0.0:7443", "")] = ""
    """Where the API answers over TLS, to those who have a token; empty: on its Unix socket only."""
    api_cert: str = ""
    """Its certificate chain, a PEM file; below the config folder, unless its path is absolute."""
    api_key: str = ""
    metrics_listen: Annotated[str, _listen("127.0.0.1:9464", "")] = ""
    """Where `GET /metrics` answers a scraper without TLS and tokens; empty: on the daemon's socket only."""
    region: str = Field(default="us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    """In the ARNs of functions."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if bool(self.api_cert) != bool(self.api_key):
            raise ValueError("api_cert and api_key go together: set both")
        if self.api_listen and not self.api_cert and not ipaddress.ip_address(self.api_address[0]).is_loopback:
            raise ValueError(
                f"api_listen {self.api_listen} is reached by others: set api_cert and api_key, for tokens must not be "
                "sent without TLS"
            )
        return self

    @property
    def api_address(self) -> tuple[str, int]:
        """Of `api_listen`, if that is not empty."""
        host, _, port = self.api_listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    @property
    def quotas(self) -> Quotas:
        return Quotas(self.artifact_bytes, self.log_total, self.free_bytes, self.bakery_days)


def load_settings(file: Path, environ: Mapping[str, str]) -> Settings:
    """Raises UserError naming the file or variable and what was expected."""
    values: dict[str, object] = {}
    try:
        if file.exists():
            values = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"cannot read settings in {file}: {error}") from error
    for name in Settings.model_fields:
        if (text := environ.get(f"FOURFOLD_{name.upper()}")) is not None:
            values[name] = text.split("-") if name in SPANS else text
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        known = ", ".join(Settings.model_fields)
        raise UserError(f"cannot use settings ({file} and FOURFOLD_… variables): {wrong}", f"known: {known}") from error
