"""The planner's words: goals and observed instances in, actions out. All times are epoch seconds, passed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["starting", "ready", "unready", "draining", "stopping", "killing", "exited"]
RUNNING: frozenset[State] = frozenset({"starting", "ready", "unready", "draining", "stopping", "killing"})
LEAVING: frozenset[State] = frozenset({"draining", "stopping", "killing"})


@dataclass(frozen=True, slots=True)
class Step:
    """A point at which a rollout stays for a while: some new instances beside all the old ones."""

    weight: int
    """Percent of the requests that the new ones get, together."""
    pause: float | None = None
    """Seconds; None: until somebody promotes it."""
    instances: int = 0
    """Percent of the count that there are of the new ones, but at least one; 0: as `weight`."""


@dataclass(frozen=True, slots=True)
class Judging:
    """When the new revision of a rollout with steps is as good as the old one."""

    min_requests: int = 0
    """That it must have been asked in a step."""
    max_errors: float = 0.05
    """The part of them that may fail, unless as many fail that the old one is asked."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Requests since a step began, and how many of them failed."""

    requests: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a service moves from one revision to another."""

    strategy: Literal["rolling", "recreate"] = "rolling"
    steps: tuple[Step, ...] = ()
    """Passed one after the other before the strategy's own move; guests have none."""
    judging: Judging = Judging()
    max_surge: int = 1
    max_unavailable: int = 0
    min_ready: float = 0.0
    timeout: float = 60.0
    before: bool = False
    """A command runs once before the first instance of the new revision."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How its instances stop."""

    drain: float | None = 30.0
    """How long requests in flight may take to end; None: nobody sends it any, so it is stopped at once."""
    grace: float = 10.0


@dataclass(frozen=True, slots=True)
class Restarting:
    policy: Literal["always", "on-failure", "never"] = "always"
    backoff_min: float = 0.2
    backoff_max: float = 30.0


@dataclass(frozen=True, slots=True)
class Deploying:
    """A deployment in progress."""

    started_at: float
    progressed_at: float
    before_done: bool = False
    rolling_back: bool = False
    aborted: str | None = None
    """By whom."""
    stable: str | None = None
    """The revision that it goes back to."""
    step: int = 0
    """Which one of the rollout's it is at; as many as there are: all are passed."""
    step_since: float | None = None
    """Since when that step's instances are there and get its part of the requests; None: not yet."""
    promoted: bool = False
    """Go on to the next step as soon as this one's instances are there, whatever it waits for."""
    new: Answered = Answered()
    """By instances of the goal's revision in this step."""
    old: Answered = Answered()


@dataclass(frozen=True, slots=True)
class Goal:
    """What one service should be."""

    key: str
    """`app.service`."""
    revision: str
    """Whatever differs in this must be another instance: release, pattern, secrets' values, restarts asked for."""
    count: int
    removed: bool = False
    """Count is 0 for good: retire it once nothing is left."""
    depends_on: tuple[str, ...] = ()
    successors: tuple[str, ...] = ()
    """Services that take over requests of this one: it stays as it is until their deployments are done."""
    host: str | None = None
    """Key of the service whose instances carry this one's: one guest on each, unless `count` is 0."""
    grace: float = 30.0
    """How long a start may take."""
    rollout: Rollout = Rollout()
    ending: Ending = Ending()
    restarting: Restarting = Restarting()
    deploying: Deploying | None = None
    settled_at: float = 0.0
    """When its last deployment ended."""
    failed: bool = False
    """That one ended without success."""
    frozen: bool = False
    """A deployment failed with `rollback: off`: leave versions as they stand, restart what dies, start nothing new."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Services that must be up before this one, and may go only after it."""
        return self.depends_on if self.host is None else (*self.depends_on, self.host)

    @property
    def waits_for(self) -> tuple[str, ...]:
        return (*self.needs, *self.successors)


@dataclass(frozen=True, slots=True)
class Ended:
    """How an instance's last run ended."""

    code: int | None = None
    what: str = ""
    """In words: `exit code 3`, `killed: out of memory`."""
    fatal: bool = False
    """Trying again cannot help: no such command."""
    rebooted: bool = False
    """The machine went down, not the program."""
    asked: bool = False
    """It was told to, for good: it has no place to come back to."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as observed."""

    id: str
    key: str
    revision: str
    state: State
    since: float
    """When it entered `state`."""
    before: bool = False
    """Not a server: the run of `deploy.before` for `revision`."""
    host: str | None = None
    failures: int = 0
    """Exits in a row, see `restart.failures_after`."""
    ended: Ended | None = None
    """Of its last run."""
    in_flight: int = 0
    """Requests it is still answering; counted while it drains."""
    routed: bool = True
    """The gateway has acted on its state: it gets requests when ready, no new ones when draining."""
    sick: str | None = None
    """Why it must be ended and started again (liveness failed, a `Stop` with `again`); until it is started again."""
    probe_error: str | None = None
    """What readiness last said."""


@dataclass(frozen=True, slots=True)
class Start:
    """A new instance of the goal's revision."""

    key: str
    host: str | None = None
    stable: bool = False
    """Of the revision that the deployment goes back to."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Run an exited instance again, under the same id."""

    instance: str


@dataclass(frozen=True, slots=True)
class Drain:
    """No new requests; those in flight end."""

    instance: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Its stop signal; with `again` it keeps its place and is restarted once it has ended."""

    instance: str
    reason: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to its whole tree."""

    instance: str


@dataclass(frozen=True, slots=True)
class Forget:
    """It has ended and will not run again."""

    instance: str


@dataclass(frozen=True, slots=True)
class Lose:
    """Its host has ended, and it with it."""

    instance: str


@dataclass(frozen=True, slots=True)
class RunBefore:
    key: str


@dataclass(frozen=True, slots=True)
class BeforeDone:
    key: str


@dataclass(frozen=True, slots=True)
class BeginStep:
    """The instances of this step of the rollout are there: it gets its part of the requests from now on."""

    key: str
    step: int


@dataclass(frozen=True, slots=True)
class Advance:
    """Go on to this step of the rollout, or (the number of steps) beyond them."""

    key: str
    step: int
    reason: str = ""
    """Why steps are skipped."""


@dataclass(frozen=True, slots=True)
class Done:
    """The deployment of this service has succeeded."""

    key: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The deployment of this service has failed; whoever executes this puts the goal back (rollback)."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Nothing is left of a removed service."""

    key: str


Action = (
    Start
    | Restart
    | Drain
    | Stop
    | Kill
    | Forget
    | Lose
    | RunBefore
    | BeforeDone
    | BeginStep
    | Advance
    | Done
    | Fail
    | Retire
)


@dataclass(frozen=True, slots=True)
class Plan:
    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Ask again by then at the latest, even if nothing happens."""
    waiting: tuple[tuple[str, str], ...] = ()
    """(service, what it waits for), for people."""
