"""The module `logging`, with levels, handlers and a root of each guest's own.

All loggers that anyone gets are stand-ins: in a thread of a guest they are that guest's logger of the same name. So a
shared library has one logger, made when it was imported, and what it says in a request of a guest goes where that
guest has configured it.
"""

from __future__ import annotations

import logging
from typing import Any

from .owners import Owner, as_host, current


class Loggers:
    """One guest's, by name."""

    def __init__(self) -> None:
        self.root = logging.RootLogger(logging.WARNING)
        self.manager = logging.Manager(self.root)
        self.manager.loggerClass = _Plain
        self._known: dict[str, logging.Logger] = {}

    def get(self, name: str) -> logging.Logger:
        if (found := self._known.get(name)) is None:
            found = self._known[name] = _make(self.manager, name)
        return found


_Plain = logging.Logger
_make = logging.Manager.getLogger


class _StandIn:
    def __getattribute__(self, name: str) -> Any:
        if name == "__class__" or (owner := current()) is None:
            return super().__getattribute__(name)
        return getattr(_real(self, owner), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if (owner := current()) is None:
            super().__setattr__(name, value)
        else:
            setattr(_real(self, owner), name, value)


def _real(stand_in: Any, owner: Owner) -> logging.Logger:
    loggers: Loggers = owner.loggers
    if isinstance(stand_in, logging.RootLogger):
        return loggers.root
    return loggers.get(object.__getattribute__(stand_in, "name"))


class _Logger(_StandIn, logging.Logger):
    pass


class _Root(_StandIn, logging.RootLogger):
    pass


class _Manager(logging.Manager):
    def getLogger(self, name: str) -> logging.Logger:
        """By its natural name: `logging.getLogger(__name__)` is what a guest's configuration calls `app`."""
        if (owner := current()) is not None and isinstance(name, str):
            name = name.removeprefix(f"{owner.world.name}.")
        with as_host():
            return super().getLogger(name)


def install() -> None:
    manager = logging.Logger.manager
    for logger in list(manager.loggerDict.values()):
        if type(logger) is logging.Logger:
            logger.__class__ = _Logger
    logging.root.__class__ = _Root
    manager.loggerClass = _Logger
    manager.__class__ = _Manager
