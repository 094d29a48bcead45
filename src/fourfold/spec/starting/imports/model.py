"""What an importer makes of another tool's file: services as keys of ours, and notes on what has no counterpart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fourfold.spec.starting.finds import Listing

Read: TypeAlias = Callable[[str], str | None]
"""The text of a file, by its path from the folder that is looked at; None: not there, or none of ours to read."""


@dataclass(frozen=True)
class Folder:
    """The folder that is looked at, as facts."""

    listing: Listing
    read: Read
    evaluate: Callable[[str], str] | None = None
    """What a JavaScript file exports, as JSON, by the file's path; None: nothing is run."""


@dataclass(frozen=True)
class Raw:
    """Text in which `${…}` is to be filled in by whoever runs `fourfold`; any other text stays as it is."""

    text: str


@dataclass(frozen=True)
class Note:
    """One thing that was not carried over: `privileged: true`, and why."""

    key: str
    why: str
    value: Any = None


@dataclass
class Drafted:
    """One service. `keys` are those of the service file, in the order in which they are written."""

    name: str
    why: str
    """What it was found in: `compose.yaml`."""
    keys: dict[str, Any] = field(default_factory=dict)
    """Plain values, `Raw` among them."""
    remarks: dict[str, str] = field(default_factory=dict)
    """Key -> what is said behind it."""
    notes: list[Note] = field(default_factory=list)
    published: tuple[str, int | None] | None = None
    """Address and port of the host where it was reached over HTTP; an empty address: any."""
    off: str | None = None
    """Why it stands there as a comment only."""

    def note(self, key: str, why: str, value: Any = None) -> None:
        self.notes.append(Note(key, why, value))


@dataclass
class Draft:
    """A whole service file."""

    app: str
    source: str
    """The file it was made of."""
    services: list[Drafted] = field(default_factory=list)
    gateway: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    """On the file as a whole."""
    hints: list[str] = field(default_factory=list)
    """What is to be done before `fourfold up`, for people."""

    @property
    def on(self) -> list[Drafted]:
        """Those that do not stand there as comments."""
        return [service for service in self.services if not service.off]

    @property
    def left_out(self) -> int:
        """How many things were not carried over: a service as one thing."""
        noted = len(self.notes) + sum(len(service.notes) for service in self.on)
        return noted + len(self.services) - len(self.on)
