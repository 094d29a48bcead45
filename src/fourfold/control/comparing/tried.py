"""One pattern of a comparison: what was seen of it, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.control.comparing.candidate import CandidateApp
from fourfold.cost.rounds import Measured


@dataclass
class Tried(Measured):
    """`available`: it came up once."""

    available: bool = False
    app: CandidateApp | None = None
    """None: the service cannot run so."""
    source: str = ""
    """Digest of what it was built from last."""
    up: bool = False
    """It is there, well, and can be measured."""

    @property
    def name(self) -> str:
        """Of its app; empty without one."""
        return self.app.name if self.app is not None else ""

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes = (*self.notes, text)
