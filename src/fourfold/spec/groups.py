"""Groups: host processes that services of pattern `shared` live in, and the service that each of them is run as."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model
from fourfold.spec.deploy import Deploy
from fourfold.spec.model import Health, Resources, Restart, Service, StopPolicy
from fourfold.spec.shared import Kind

GROUP = "group"
"""The pattern, as rows and builds have it, of a group itself: no service of the file can have it."""
GRACE = 60.0
"""Seconds that a host may take to come up, without its members: a JVM on a busy machine is slow."""
JAVA: tuple[Kind, ...] = ("tomcat", "osgi")
"""Kinds whose hosts are JVMs."""


class Group(Model):
    """One entry of `groups`. Its members are the services whose `shared.group` names it."""

    kind: Kind = Field(description="What its members share: a Tomcat, an OSGi framework, a Node or Python parent")
    runtime: f.Runtime | None = Field(
        default=None, description="python3.x, nodejsNN or javaNN; the host's default when left out"
    )
    instances: f.Whole = Field(default=1, ge=0, le=10_000, description="How many run, each with all members")
    resources: Resources = Field(default=Resources(), description="Limits of one instance with all its members")
    env: dict[f.EnvName, f.EnvValue] = Field(default={}, description="Its environment, which all its members see")
    java_opts: str = Field(default="", max_length=4096, description="For the JVM: -Xmx300m -XX:+UseSerialGC")
    mode: Literal["mounted", "forked"] = Field(
        default="mounted",
        description="Of kind python. mounted: all members in one process; forked: a process each, forked from one",
    )
    preload: list[str] = Field(
        default=[], max_length=100, description="Of kind python, forked: modules to import before members are forked"
    )
    deploy: Deploy = Field(default=Deploy(), description="How a changed group takes over")
    stop: StopPolicy = Field(default=StopPolicy(), description="How an instance ends")
    restart: Restart = Field(default=Restart(), description="What happens when it ends by itself")

    @model_validator(mode="after")
    def _only_what_its_kind_knows(self) -> Self:
        if self.java_opts and self.kind not in JAVA:
            raise ValueError(f"java_opts is for the kinds tomcat and osgi, not {self.kind}")
        if self.mode == "forked" and self.kind != "python":
            raise ValueError(f"mode is for the kind python, not {self.kind}")
        if self.preload and self.mode != "forked":
            raise ValueError("preload needs `mode: forked`: mounted members import for themselves")
        return self

    def as_host(self) -> Host:
        return Host(
            runtime=self.runtime,
            instances=self.instances,
            resources=self.resources,
            env=self.env,
            deploy=self.deploy,
            stop=self.stop,
            restart=self.restart,
            health=Health(grace=GRACE),
            group=self,
        )


class Host(Service):
    """A group as everything that runs services sees it: a service without source and port, its instances hosts."""

    pattern: Literal["group"] = "group"  # type: ignore[assignment]  # no service of a file can have it
    group: Group
