"""Where an app is reached: what the gateway listens on, and which requests go to which service."""

from __future__ import annotations

from pydantic import Field, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model


class Route(Model):
    """Which requests the gateway sends here. The longest path wins; a host beats no host."""

    host: f.Host | None = Field(default=None, description="shop.example.com or *.example.com; left out: any")
    path: f.RoutePath = Field(default="/", description="A prefix of whole segments: /x takes /x and /x/1, not /xy")
    method: f.Methods | None = Field(default=None, description="GET, or a list; left out: all")
    strip: bool = Field(default=False, description="Take `path` off before the service sees it")
    timeout: f.Duration = Field(default=60.0, gt=0, description="How long an answer may take to begin")

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

    @model_validator(mode="after")
    def _redirect_has_somewhere_to_go(self) -> Gateway:
        if self.redirect and self.tls is None:
            raise ValueError("redirect needs `tls`: without it there is no https to send requests to")
        if self.redirect and self.listen.endswith(":80"):
            raise ValueError("redirect takes port 80 for itself: listen on another one, such as :443")
        return self
