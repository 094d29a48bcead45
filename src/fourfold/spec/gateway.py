"""Where an app is reached: what the gateway listens on, and which requests go to which service."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model

LONGEST_WINDOW = 86_400.0
"""Seconds in which requests are counted."""


class RouteLimits(Model):
    """What a route takes."""

    rate: f.RequestRate | None = Field(default=None, description="Requests per time: 100/s, 20/m or 500/h")
    burst: f.Whole | None = Field(
        default=None, ge=1, le=1_000_000, description="So many of them at once; left out: as many as `rate` names"
    )
    per: Literal["client", "route"] = Field(default="client", description="client: each address; route: all together")
    body: f.Size | None = Field(default=None, description="The largest body of a request")

    @model_validator(mode="after")
    def _burst_has_a_rate(self) -> RouteLimits:
        if self.burst is not None and self.rate is None:
            raise ValueError("burst needs a `rate`: how many requests there may be in the long run")
        if self.rate is not None and self.most / self.per_second > LONGEST_WINDOW:
            raise ValueError(f"{self.most} requests at once at {self.rate} is more than a day's worth")
        return self

    @property
    def per_second(self) -> float:
        count, _, unit = (self.rate or "0/s").partition("/")
        return int(count) / {"s": 1, "m": 60, "h": 3600}[unit]

    @property
    def most(self) -> int:
        """At once."""
        return self.burst or int((self.rate or "1/s").partition("/")[0])


class BasicAuth(Model):
    """HTTP Basic authentication at the gateway."""

    model_config = ConfigDict(json_schema_extra={"x-is": "a secret's name, or {secret: NAME, realm: TEXT}"})

    secret: f.SecretName = Field(description="Its value has a line name:password for each user")
    realm: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9 ._-]{0,64}$",
        description="What browsers name when they ask; left out: the app",
        json_schema_extra={"x-is": "text: letters, digits, blanks and . _ -"},
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"secret": value} if isinstance(value, str) else value


class Route(Model):
    """Which requests the gateway sends here. The longest path wins; a host beats no host."""

    host: f.Host | None = Field(default=None, description="shop.example.com or *.example.com; left out: any")
    path: f.RoutePath = Field(default="/", description="A prefix of whole segments: /x takes /x and /x/1, not /xy")
    method: f.Methods | None = Field(default=None, description="GET, or a list; left out: all")
    strip: bool = Field(default=False, description="Take `path` off before the service sees it")
    timeout: f.Duration = Field(default=60.0, gt=0, description="How long an answer may take to begin")
    sticky: bool = Field(default=False, description="A client stays with one instance, by a cookie, while it is there")
    limits: RouteLimits = Field(default=RouteLimits(), description="How much is taken: 429 and 413 beyond")
    auth: BasicAuth | None = Field(default=None, description="Names and passwords: a secret of lines name:password")

    @property
    def methods(self) -> tuple[str, ...]:
        given = [self.method] if isinstance(self.method, str) else self.method or []
        return tuple(sorted({method.upper() for method in given}))


class Tls(Model):
    """A certificate that you bring."""

    cert: str = Field(min_length=1, description="PEM file with the certificate and its chain, relative to this file")
    key: str = Field(min_length=1, description="PEM file with the key, relative to this file")


class Gateway(Model):
    """The HTTP load balancer in front of the services."""

    listen: f.Listen = Field(default=":8080", description=":8080, 127.0.0.1:8080 or [::1]:8080")
    tls: Tls | None = Field(default=None, description="Serve https")
    redirect: bool = Field(default=False, description="With tls: http on port 80 of the same address goes to https")
    hsts: f.Duration | None = Field(
        default=None, ge=0, description="With tls: for so long browsers use https only (Strict-Transport-Security)"
    )

    @model_validator(mode="after")
    def _redirect_has_somewhere_to_go(self) -> Gateway:
        if self.redirect and self.tls is None:
            raise ValueError("redirect needs `tls`: without it there is no https to send requests to")
        if self.redirect and self.listen.endswith(":80"):
            raise ValueError("redirect takes port 80 for itself: listen on another one, such as :443")
        if self.hsts is not None and self.tls is None:
            raise ValueError("hsts needs `tls`: browsers heed it on encrypted connections only")
        return self
