"""One comparison from beginning to end: candidates come up, are measured in turn, and are taken away.

While one is measured the others idle. Rounds are interleaved, and each begins with another pattern, so that a machine
that is busy for a while, or gets warm, is no pattern's misfortune.
"""

from __future__ import annotations

import asyncio
import logging
import secrets as random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fourfold.build.build import BuildRequest
from fourfold.control.comparing.candidate import CandidateApp, Live, candidate, new_name, reason, with_more
from fourfold.control.comparing.candidates import Candidates, data_of
from fourfold.control.comparing.edit import edited
from fourfold.control.comparing.facts import facts_of
from fourfold.control.comparing.measure import Deployed, LoadPlan, Measuring
from fourfold.control.comparing.progress import Progress, Step
from fourfold.control.comparing.tried import Tried
from fourfold.control.operations import Operation
from fourfold.control.parts import Parts
from fourfold.cost.comparison import Pattern
from fourfold.cost.rounds import Round
from fourfold.errors import FourfoldError
from fourfold.gateway.listening import free_port
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact
from fourfold.store.model import Event

log = logging.getLogger(__name__)

ROUNDS = 5
QUICK_ROUNDS = 2
MOST_SAID = 200
"""Characters of a candidate's last line."""
MORE = 3
"""Instances that the memory of a further one is seen from."""
BASED: tuple[Pattern, ...] = ("container", "vm")
"""Patterns that stand on a base that all share."""
_SLOW: dict[Pattern, float] = {"process": 1.0, "shared": 1.5, "container": 1.2, "vm": 4.0, "function": 1.5}
"""How long steps take, one pattern against the other, before any was seen."""
_WORDS = {
    "build": "builds and starts it",
    "round": "restarts it, then asks it",
    "more": f"starts more of it, up to {MORE}",
    "deploy": "deploys an edit while it is asked",
    "facts": "looks at what it has of its own",
}


@dataclass(frozen=True)
class Asked:
    """What is compared, and how."""

    live: Live
    live_pattern: str
    secrets: tuple[str, ...]
    """Names of those that the service uses."""
    patterns: tuple[Pattern, ...]
    rounds: int
    spec: Service
    load: LoadPlan | None
    """None: it has no port."""


class Run:
    """`names`: of the candidates that may be there, for whoever takes them away."""

    def __init__(
        self, parts: Parts, candidates: Candidates, measuring: Measuring, asked: Asked, operation: Operation
    ) -> None:
        self._parts = parts
        self._candidates = candidates
        self._measuring = measuring
        self._asked = asked
        self._operation = operation
        self._tried = [Tried(each, live=each == asked.live_pattern) for each in asked.patterns]
        self._progress = Progress(_steps(asked))
        self.names: list[str] = []

    async def run(self) -> list[Tried]:
        """What was seen of each pattern. Those that cannot run, or stop running, say why; the others go on."""
        for tried in self._tried:
            await self._step(tried, "build", self._build)
        for number in range(self._asked.rounds):
            first = number % len(self._tried)
            for tried in [*self._tried[first:], *self._tried[:first]]:
                await self._step(tried, "round", self._round, f", round {number + 1} of {self._asked.rounds}")
        for tried in self._tried:
            await self._step(tried, "facts", self._facts)
            await self._step(tried, "deploy", self._deploy)
            await self._step(tried, "more", self._more)
            if tried.up:  # its memory and its share of the CPU are for the others
                await self._end(tried)
        self._progress.end(self._parts.clock.now())
        return self._tried

    async def _step(self, tried: Tried, kind: str, work: Callable[[Tried], Awaitable[None]], words: str = "") -> None:
        if tried.reason is not None:
            return
        now = self._parts.clock.now()
        self._progress.begin(kind, tried.pattern, now)
        self._tell(tried.pattern, _WORDS[kind] + words, now)
        try:
            await work(tried)
        except FourfoldError as error:
            await self._give_up(tried, reason(error, tried.name, self._asked.live.service), error.hint)
        except Exception:  # a mistake of ours with one pattern is no reason to lose what was seen of the others
            log.exception("comparing %s as %s", self._asked.live.service, tried.pattern)
            await self._give_up(tried, f"a fault in Fourfold while it {_WORDS[kind]}, see the daemon's log", None)

    def _tell(self, pattern: Pattern, what: str, now: float) -> None:
        self._parts.bus.emit(
            "compare.progress", f"{pattern}: {what}", service=self._asked.live.service, **self._operation.tag(),
            pattern=pattern, what=what, done=self._progress.done, total=self._progress.total,
            seconds_left=round(self._progress.seconds_left(now), 1),
        )  # fmt: skip

    async def _give_up(self, tried: Tried, why: str, hint: str | None) -> None:
        tried.reason = why
        self._progress.drop(tried.pattern)
        what = "cannot be measured to its end" if tried.available else "is not available"
        said = await self._last_line(tried)
        message = f"{tried.pattern} {what}: {why}" + (f"; it said: {said}" if said else "")
        self._parts.bus.emit(
            "compare.unavailable", message, service=self._asked.live.service,
            **self._operation.tag(), pattern=tried.pattern, reason=why, hint=hint,
        )  # fmt: skip
        await self._end(tried)

    async def _last_line(self, tried: Tried) -> str:
        """Of its newest instance that ended; its log is gone with it soon. Empty: there is none."""
        dead = [each for each in self._parts.store.instances.of(tried.name, self._asked.live.service) if each.exit]
        newest = max(dead, key=lambda each: each.changed_at, default=None)
        lines = await self._parts.last_lines(newest, 1)
        return " ".join(lines).strip()[:MOST_SAID]

    async def _end(self, tried: Tried) -> None:
        """Take it away before the others are through; what cannot be, is tried again at the end."""
        tried.up = False
        if tried.app is not None and not await self._candidates.take_all_away([tried.app.name]):
            self.names.remove(tried.app.name)

    # -- steps ------------------------------------------------------------------------------------------------------

    async def _build(self, tried: Tried) -> None:
        asked = self._asked
        name = new_name(tried.pattern, self._is_there)
        tried.app = made = candidate(asked.live, tried.pattern, name, free_port())
        self.names.append(name)
        self._candidates.prepare(made, asked.live.app, asked.secrets)
        await self._candidates.consider(made, asked.live.source, asked.live.app)
        if tried.pattern in BASED:  # what others share is no part of what it takes to build it
            request = BuildRequest(asked.live.app, asked.live.service, asked.spec, asked.live.source, tried.pattern)
            await self._parts.builder.build(request, _no_log)
        tried.source = asked.live.source
        events: list[Event] = []

        async def bring() -> None:
            events.extend(await self._bring(made, asked.live.source))

        started = await self._measuring.starting(made, bring)
        tried.available = tried.up = True
        if not made.has_port:
            tried.note(
                "it is asked nothing, as it has no port: it did beside the live one what one more instance would"
            )
        tried.cold_start_seconds = started.start_seconds
        tried.build_seconds = data_of(events, "build.done", made.service).get("seconds")
        digest = data_of(events, "build.done", made.service).get("artifact")
        if digest is not None:
            artifact = self._parts.artifacts.get(digest)
            tried.artifact_bytes, tried.base_bytes = await asyncio.to_thread(_sizes, self._parts, artifact)

    def _is_there(self, app: str) -> bool:
        parts = self._parts
        return app in parts.registry.apps or parts.operations.busy(app) or parts.down.leaves(app)

    async def _bring(self, made: CandidateApp, source: str) -> Sequence[Event]:
        return await self._candidates.bring(made, source, self._asked.live.app)

    async def _round(self, tried: Tried) -> None:
        made = tried.app
        assert made is not None
        restart = partial(self._candidates.restart, made)
        tried.rounds = (*tried.rounds, await self._measuring.round(made, self._asked.load, restart))

    async def _facts(self, tried: Tried) -> None:
        assert tried.app is not None
        tried.facts = await facts_of(self._parts, tried.app.name, tried.app.service)

    async def _deploy(self, tried: Tried) -> None:
        """An edit as a developer makes it: built with what the last build has left, and deployed under load."""
        made = tried.app
        assert made is not None
        source = await asyncio.to_thread(self._edited)
        if source is None:
            tried.note("nothing of it can be edited, as of an image that was made elsewhere: no rebuild was measured")
            return
        tried.source = source
        events: list[Event] = []

        async def bring() -> None:
            events.extend(await self._bring(made, source))

        if self._asked.load is None:
            await bring()
        else:
            deployed = await self._measuring.deployed(made, self._asked.load, bring)
            tried.deploy_seconds = deployed.seconds
            tried.requests_lost_in_deploy = lost(deployed, tried.rounds)
        tried.rebuild_seconds = data_of(events, "build.done", made.service).get("seconds")

    def _edited(self) -> str | None:
        """Digest of the edited source; another one each time, so that no pattern finds another's work done."""
        parts = self._parts
        manifest = parts.sources.get(self._asked.live.source)
        made = edited(manifest, lambda entry: parts.blobs.path(entry.sha256).read_bytes(), random.token_hex(8))
        if made is None:
            return None
        parts.blobs.add(made.digest, [made.content])
        return parts.sources.put(made.manifest)

    async def _more(self, tried: Tried) -> None:
        made = tried.app
        assert made is not None
        if tried.pattern == "function":  # how many sandboxes the load has left is not known
            await self._widen(tried, 1)
        if tried.pattern == "shared":  # what members before have left in the host, further ones would use again
            await self._candidates.restart_whole(made)
        before = await self._measuring.memory_in_use(made, self._asked.load, 1)
        await self._widen(tried, MORE)
        after = await self._measuring.memory_in_use(made, self._asked.load, MORE)
        if before is not None and after is not None:
            tried.next_instance_memory_bytes = max(0, after - before) // (MORE - 1)

    async def _widen(self, tried: Tried, count: int) -> None:
        made = tried.app
        assert made is not None
        wider = with_more(made, count)
        if wider is None:
            await self._candidates.scale(made, count)
        else:
            await self._bring(wider, tried.source)


def lost(deployed: Deployed, rounds: Sequence[Round]) -> int:
    """Requests that the deploy has lost: without as many as fail at any time, as they did in rounds."""
    asked, failed = sum(each.requests for each in rounds), sum(each.errors for each in rounds)
    usual = deployed.requests * failed / asked if asked else 0.0
    return max(0, round(deployed.lost - usual))


def _steps(asked: Asked) -> list[Step]:
    load = asked.load.seconds + asked.load.saturation_seconds if asked.load is not None else 0.0
    seconds = {"build": 3.0, "round": 2.0, "facts": 1.0, "deploy": 2.0, "more": 2.0}
    asking = {"round": load}
    once = [
        Step(kind, each, asking.get(kind, 0.0) + seconds[kind] * _SLOW[each])
        for each in asked.patterns
        for kind in seconds
    ]
    again = [each for each in once if each.kind == "round"] * (asked.rounds - 1)
    return [*once, *again]


def _sizes(parts: Parts, artifact: Artifact) -> tuple[int, int]:
    """(Its own bytes, bytes of the base). A machine's own is the disk beside its base; reads the disk."""
    base = sum(parts.images.size(digest) for digest in artifact.image.layers) if artifact.image is not None else 0
    if artifact.boot is None:
        return artifact.size, base
    boot = artifact.boot
    shared = sum(parts.disks.size(key) for key in (boot.kernel, boot.initrd, *boot.disks[:1]))
    return sum(parts.disks.size(key) for key in boot.disks[1:]), shared


def _no_log(line: str) -> None:
    return
