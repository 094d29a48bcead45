"""Errors for the person who reads them: one sentence "cannot X: why", then a hint that says what to do.

Two kinds, because they are handled differently: what the user must fix (exit code 2, never retried) and what the
world did (exit code 1, worth retrying).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class FourfoldError(Exception):
    """Base of both kinds; never raised itself."""

    exit_code = 1
    status = 500

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class UserError(FourfoldError):
    """Bad input or bad usage: refused before anything changes."""

    exit_code = 2
    status = 422


class RefusedError(UserError):
    """A request has fields whose values cannot be taken."""

    def __init__(self, what: str, hint: str | None, fields: Mapping[str, str]) -> None:
        """`fields`: name -> why."""
        super().__init__(what, hint)
        self.fields = fields


class NotFoundError(UserError):
    """The thing named is not there; the message lists what is."""

    status = 404


class ConflictError(UserError):
    """The request contradicts the present state (an operation in progress, a route taken)."""

    status = 409


class UnauthorizedError(UserError):
    """Over the network, without a token that is good."""

    status = 401


class ForbiddenError(UserError):
    """The token is good, but not for this."""

    status = 403


class TooLargeError(UserError):
    """More than is taken, or than somebody may keep."""

    status = 413


class TooManyError(UserError):
    """More at once than somebody may ask for; the same request may succeed later."""

    status = 429


def together(errors: Sequence[UserError], most: int = 10) -> UserError:
    """One that tells of all, so that they can be mended at once; of one alone, itself. No more than `most` are told."""
    if len(errors) == 1:
        return errors[0]
    told = [error.what for error in errors[:most]]
    if len(errors) > most:
        told.append(f"and {len(errors) - most} more like these")
    hints = dict.fromkeys(error.hint for error in errors[:most] if error.hint)
    return UserError("\n".join(told), "; ".join(hints) or None)


class WorldError(FourfoldError):
    """The world failed: disk full, a program crashed, a socket is gone. The same request may succeed later."""

    exit_code = 1
    status = 503


_DISK = {
    errno.ENOSPC: ("the disk is full", "free some space (`fourfold gc`, `df`), then try again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space (`fourfold gc`, `quota`), then try again"),
    errno.EROFS: (
        "the file system is read-only",
        "it may be so since an error: see `dmesg`, then mount it for writing",
    ),
    errno.EIO: ("reading or writing the disk failed", "look for disk errors in the kernel's log (`dmesg`)"),
}


def of_the_disk(error: BaseException, what: str) -> WorldError | None:
    """`cannot WHAT: the disk is full: PATH` where it is the disk that refused something, and no fault of ours."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    why, hint = _DISK[error.errno]
    return WorldError(f"cannot {what}: {why}{f': {error.filename}' if error.filename else ''}", hint)


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file: where, what, what to do."""

    path: str
    """Dotted path of the key, such as `services.catalog.port`; empty for the whole file."""
    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part not in (None, ""))
        text = ": ".join(part for part in (where, self.path, self.message) if part)
        return f"{text} ({self.hint})" if self.hint else text


class SpecError(UserError):
    """Everything wrong in a service file, all at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
