"""Which events a webhook is told of. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from fourfold.plan.restart import CRASH_LOOP_FAILURES
from fourfold.store.model import Event

KINDS: dict[str, tuple[str, ...]] = {
    "failed": ("operation.failed",),
    "deployed": ("deploy.done",),
    "rolled-back": ("deploy.rolled-back",),
    "crash-loop": ("instance.crash-loop",),
    "oom": ("instance.exited",),
    "exited": ("instance.exited",),
    "unready": ("instance.unready",),
    "job-failed": ("run.failed",),
    "given-up": ("event.failed", "trigger.given-up"),
    "neighbour": ("neighbour.abuse", "neighbour.leak"),
}
"""Words of `notify.on` -> kinds of events; of `spec.notify.ON` each."""
NEVER = ("notify.*", "build.log")
"""Of what hooks do no hook is told; lines of builds are no news."""


def kinds_of(on: Iterable[str]) -> tuple[str, ...]:
    """Kinds, or patterns of kinds: what others are of need not be looked at."""
    return tuple(dict.fromkeys(kind for word in on for kind in KINDS.get(word, (word,))))


def wants(event: Event, on: Iterable[str]) -> bool:
    if any(fnmatchcase(event.kind, pattern) for pattern in NEVER):
        return False
    return any(_is_meant(event, word) if word in KINDS else fnmatchcase(event.kind, word) for word in on)


def _is_meant(event: Event, word: str) -> bool:
    if event.kind not in KINDS[word]:
        return False
    match word:
        case "failed":
            return not event.data.get("cancelled")
        case "job-failed":
            return "outcome" in event.data  # else it is tried again
        case "oom":
            return bool(event.data.get("oom")) and _is_news(event, 1)
        case "crash-loop":
            return _is_news(event, CRASH_LOOP_FAILURES)
    return True


def _is_news(event: Event, first: int) -> bool:
    """Of what goes on and on, the first time, and then ever more seldom: each time that it is twice as long."""
    failures = event.data.get("failures")
    if not isinstance(failures, int) or failures < first:
        return True
    times, rest = divmod(failures, first)
    return rest == 0 and times & (times - 1) == 0
