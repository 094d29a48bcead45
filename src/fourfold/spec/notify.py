"""Where events of an app are sent to."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model
from fourfold.spec.units import shown

ON = {
    "failed": "a change (`up`, `deploy`, `scale`, …) failed",
    "deployed": "a service was deployed",
    "rolled-back": "a failed deployment has gone back",
    "crash-loop": "an instance ends again and again",
    "oom": "an instance had too much memory and was killed",
    "exited": "an instance ended by itself",
    "unready": "an instance is not ready any more",
    "job-failed": "a run of a job failed, after all retries",
    "given-up": "an event of a trigger, or an asynchronous one, was given up",
    "neighbour": "a member of a group takes too much, or leaks",
}
"""What may stand in `on`; besides, kinds of events as `fourfold events` shows them, or patterns of those."""
KIND = r"^[a-z*-]+\.[a-z*-]+$"


def _on(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"expected a word such as failed, or a kind of event such as deploy.*, got {shown(value)}")
    return value


On = Annotated[
    str,
    BeforeValidator(_on),
    WithJsonSchema(
        {
            "anyOf": [{"enum": [*ON, "*"]}, {"type": "string", "pattern": KIND}],
            "x-is": f"one of {', '.join(ON)}, or a kind of event such as deploy.*",
        }
    ),
]


class Notify(Model):
    """A webhook: where events of an app are sent to."""

    url: str = Field(min_length=1, max_length=2048, description="http or https; kept encrypted, shown as its host only")
    on: list[On] = Field(
        default=["failed", "crash-loop", "oom"], min_length=1, description="Which events; see below for the words"
    )
    format: Literal["json", "slack"] = Field(
        default="json", description="json: the event; slack: a text, as Slack, Mattermost and Rocket.Chat take it"
    )
    secret: f.SecretName | None = Field(
        default=None, description="Of the app's secrets, the one that signs what is sent"
    )

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        """What is wrong with it is said without it: it may hold a token."""
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or not value.isascii() or any(letter <= " " or letter == "\x7f" for letter in value):
            raise ValueError("expected an http:// or https:// url with a host")
        return value

    @field_validator("on")
    @classmethod
    def _is_known(cls, value: list[str]) -> list[str]:
        for word in value:
            if word not in ON and word != "*" and not re.fullmatch(KIND, word):
                raise ValueError(
                    f"expected one of {', '.join(ON)}, or a kind of event such as deploy.*, got {shown(word)}"
                )
        return list(dict.fromkeys(value))

    @property
    def host(self) -> str:
        """`https://hooks.example.com`: all that is ever shown of `url`."""
        return host_of(self.url)


def host_of(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"
